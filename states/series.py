"""A bounded, immutable history of one number: it decimates instead of growing, and can be rolled back.

Buckets are kept in chunks that are shared between versions, so that appending copies one short chunk and not the
history; a run of a million steps folds at the same speed as its first thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

CAPACITY: Final = 2048
"""Points kept before neighbours are merged: more than twice the braille columns of any terminal."""
_CHUNK: Final = 32
"""Buckets copied by one append, at most."""


class Bucket(NamedTuple):
    """Consecutive samples from step `first` to step `last`; `last_wall` is when the last was recorded.

    A named tuple because every step makes several: it is made in a quarter of a frozen dataclass's time.
    """

    first: int
    last: int
    last_wall: float
    low: float
    high: float
    total: float
    count: int  # type: ignore[assignment]  # of samples: nobody asks how often a value occurs in a bucket

    @property
    def mean(self) -> float:
        """Mean of the merged samples."""
        return self.total / self.count


@dataclass(frozen=True, slots=True)
class Series:
    """Buckets in step order. Only the newest, and one before a rollback, holds fewer samples than `width`."""

    chunks: tuple[tuple[Bucket, ...], ...] = ()
    """Full chunks of buckets that will not change."""
    tail: tuple[Bucket, ...] = ()
    """The newest buckets, the last of them possibly still filling."""
    width: int = 1
    """Samples a bucket takes: doubles whenever `CAPACITY` buckets are full."""

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """All buckets, oldest first."""
        return (*chain.from_iterable(self.chunks), *self.tail)

    @property
    def last(self) -> Bucket | None:
        """The newest bucket."""
        return self.tail[-1] if self.tail else None

    def __len__(self) -> int:
        return len(self.chunks) * _CHUNK + len(self.tail)

    def __bool__(self) -> bool:
        return bool(self.tail)


def append(series: Series, step: int, wall: float, value: float) -> Series:
    """The series with one more sample. A step before the newest bucket's belongs to no order and is left out."""
    tail, width = series.tail, series.width
    if tail:
        first, last, _, low, high, total, count = tail[-1]
        if step < last:
            return series
        if count < width:
            if value < low:
                low = value
            elif value > high:
                high = value
            grown = tuple.__new__(Bucket, (first, step, wall, low, high, total + value, count + 1))
            return Series(series.chunks, tail[:-1] + (grown,), width)  # noqa: RUF005  (unpacking takes twice as long)
    sample = Bucket(step, step, wall, value, value, value, 1)
    if len(tail) < _CHUNK:
        return Series(series.chunks, (*tail, sample), width)
    if len(series) < CAPACITY:
        return Series((*series.chunks, tail), (sample,), width)
    buckets = series.buckets
    pairs = tuple(map(_merge, buckets[::2], buckets[1::2]))
    return append(_chunked(pairs, width * 2), step, wall, value)


def rollback(series: Series, step: int) -> Series:
    """The series as far as `step`; a bucket that reaches beyond it cannot be taken apart and goes too."""
    last = series.last
    if last is None or last.last <= step:
        return series
    return _chunked(tuple(bucket for bucket in series.buckets if bucket.last <= step), series.width)


def _merge(left: Bucket, right: Bucket) -> Bucket:
    low = min(left.low, right.low)
    high = max(left.high, right.high)
    total, count = left.total + right.total, left.count + right.count
    return Bucket(left.first, right.last, right.last_wall, low, high, total, count)


def _chunked(buckets: tuple[Bucket, ...], width: int) -> Series:
    # The tail is never empty while there are buckets: the newest must be at hand to take the next sample.
    full = max(0, (len(buckets) - 1) // _CHUNK) * _CHUNK
    chunks = tuple(buckets[start : start + _CHUNK] for start in range(0, full, _CHUNK))
    return Series(chunks, buckets[full:], width)
