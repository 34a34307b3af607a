"""Where training is: the running sums a step adds to, and medians of the newest steps, worked out when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RECENT = 32
"""Steps the throughput medians look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where training is."""

    step: int = 0
    epoch: float = 0.0
    tokens: int = 0
    trained_s: float = 0.0
    paused_s: float = 0.0
    loss: float | None = None
    smooth_loss: float | None = None
    """Exponential mean of the training loss, bias-corrected (decay 0.9)."""
    smooth_weight: float = 0.0
    """Bias correction of `smooth_loss`."""
    lr: float | None = None
    grad_norm: float | None = None
    recent: tuple[tuple[int, float], ...] = ()
    """(tokens, seconds) of the last `RECENT` steps of this attempt."""
    rejected_steps: int = 0

    @property
    def step_s(self) -> float | None:
        """Median seconds of the recent steps; None before the first."""
        return median([seconds for _, seconds in self.recent])

    @property
    def tokens_per_s(self) -> float | None:
        """Median throughput of the recent steps; None before the first."""
        return median([tokens / seconds for tokens, seconds in self.recent if seconds > 0])


def median(values: Sequence[float]) -> float | None:
    """The middle value; the mean of the two middle ones of an even number."""
    if not values:
        return None
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
