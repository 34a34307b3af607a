"""Axes: round ticks, numbers short enough for them, and the way from a value to a place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from states.wording import duration, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear way from `low`..`high` to `start`..`end` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value, kept inside the axis."""
        span = self.high - self.low
        share = (min(max(value, self.low), self.high) - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values from `low` to `high`, about `most` of them; one value where there is no room between the two."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else [0.0]
    step = round_step((high - low) / max(1, most))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)] or [low]


def round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= least * (1 - 1e-9))


def widened(low: float, high: float, *, from_zero: bool = False, top: float | None = None) -> tuple[float, float]:
    """The ends of an axis that holds `low` and `high` with some air, on round values."""
    if from_zero:
        low = min(0.0, low)
    if top is not None:
        high = top
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        pad = abs(high) * 0.05 or 1.0
        low, high = (low, high + pad) if from_zero else (low - pad, high + pad)
    step = round_step((high - low) / 5)
    start = math.floor(low / step + 0.15) * step
    end = math.ceil(high / step - 0.15) * step
    # A value a little outside the last tick would be cut off: then one tick more.
    start = start if start <= low else start - step
    end = end if end >= high else end + step
    return (min(0.0, start) if from_zero else start), (top if top is not None else end)


def told(value: float, form: str) -> str:
    """A number on an axis or in a cell: `percent`, `bytes`, `duration`, `compact`, or a format specification."""
    if form == "percent":
        return f"{100 * value:.0f}%"
    if form == "percent1":
        return f"{100 * value:.1f}%"
    if form == "bytes":
        return size(value)
    if form == "duration":
        return duration(value)
    if form == "compact":
        return compact(value)
    return format(value, form)


def compact(value: float) -> str:
    """`0`, `0.25`, `12`, `1.2k`, `3.5M`, `2e-04`."""
    magnitude = abs(value)
    if magnitude == 0:
        return "0"
    if magnitude < 1e-3:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if magnitude >= unit * 0.99995 and not (unit == 1e3 and magnitude < 1e4 and value == int(value)):
            return f"{value / unit:.3g}{letter}"
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def even(values: list[float]) -> list[str]:
    """The ticks of one axis with the same number of decimals, so that they read as one column."""
    words = [compact(value) for value in values]
    largest = max((abs(value) for value in values), default=0.0)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if largest >= unit:
            size_ = min(unit, 1e3) if letter == "k" else unit
            return ["0" if value == 0 else f"{value / size_:g}{letter}" for value in values]
    if any(not _plain(word) for word in words):
        return words
    decimals = max((len(word.partition(".")[2]) for word in words), default=0)
    return [f"{value:,.{decimals}f}" for value in values]


def _plain(word: str) -> bool:
    return all(letter.isdigit() or letter in ".,-" for letter in word)
