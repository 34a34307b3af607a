"""Medians with bootstrap intervals: what a ratio of noisy rounds can and cannot say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A median and its 95% percentile bootstrap interval."""

    median: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two have a value in common."""
        return self.low <= other.high and other.low <= self.high


def interval(values: Sequence[float], *, seed: int = 0) -> Interval:
    """The median of `values` and how far it would move in repetitions of the same size."""
    chance = random.Random(seed)  # repeatable, not secret
    medians = sorted(median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return Interval(
        median=median(values), low=medians[int(0.025 * RESAMPLES)], high=medians[int(0.975 * RESAMPLES) - 1]
    )
