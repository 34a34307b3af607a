"""A bounded, immutable history of one number: it decimates instead of growing, and can be rolled back."""

from __future__ import annotations

from dataclasses import dataclass

CAPACITY = 2048
"""Points kept before neighbours are merged: more than twice the braille columns of any terminal."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Consecutive samples from step `first` to step `last`; `last_wall` is when the last was recorded."""

    first: int
    last: int
    last_wall: float
    low: float
    high: float
    total: float
    count: int

    @property
    def mean(self) -> float:
        """Mean of the merged samples."""
        return self.total / self.count


@dataclass(frozen=True, slots=True)
class Series:
    """Buckets in step order. Every bucket but the last holds `width` samples."""

    buckets: tuple[Bucket, ...] = ()
    width: int = 1
