"""A histogram for a terminal: round buckets, bars of block characters or of number signs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_EIGHTHS: Final = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589\u2588"
_MOST: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Values from `low` to below `high`; None is without a bound."""

    low: int
    high: int | None
    count: int


def buckets(values: Sequence[int]) -> list[Bucket]:
    """At most a dozen buckets of one round width; a long thin tail is one open bucket at the end."""
    if not values:
        return []
    ranked = sorted(values)
    low, high, p95 = ranked[0], ranked[-1], ranked[max(0, math.ceil(0.95 * len(ranked)) - 1)]
    reach = min(high, 2 * p95)
    width = _round_width((reach - low + 1) / _MOST)
    first = low // width
    last = reach // width
    while last - first + 1 > _MOST:
        width = _round_width(width * 1.01)
        first, last = low // width, reach // width
    counts = [0] * (last - first + 1)
    for value in ranked:
        counts[min(value // width, last) - first] += 1
    is_open = high >= (last + 1) * width
    return [
        Bucket(
            low=(first + index) * width,
            high=None if is_open and first + index == last else (first + index + 1) * width,
            count=count,
        )
        for index, count in enumerate(counts)
    ]


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    for exponent in itertools.count():
        for digit in (1, 2, 5):
            if digit * 10**exponent >= least:
                return int(digit * 10**exponent)
    raise AssertionError("the powers of ten do not end")


def draw(found: Sequence[Bucket], *, width: int, blocks: bool) -> list[str]:
    """One line for each bucket, at most `width` characters wide."""
    labels = [
        f"{bucket.low:,}+" if bucket.high is None else f"{bucket.low:,} - {bucket.high - 1:,}" for bucket in found
    ]
    label_width = max(map(len, labels), default=0)
    count_width = max((len(f"{bucket.count:,}") for bucket in found), default=0)
    room = max(8, width - label_width - count_width - 4)
    peak = max((bucket.count for bucket in found), default=0)
    lines = []
    for label, bucket in zip(labels, found, strict=True):
        bar = _bar(bucket.count / peak if peak else 0.0, room, blocks=blocks)
        lines.append(f"{label:>{label_width}}  {bucket.count:>{count_width},}  {bar}".rstrip())
    return lines


def _bar(share: float, room: int, *, blocks: bool) -> str:
    """A bar for a share of the room; whatever is not nothing shows."""
    if not blocks:
        return "#" * (max(1, round(share * room)) if share else 0)
    eighths = max(1, round(share * room * 8)) if share else 0
    return _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
