"""Axes: where the ticks of a chart stand and how they are written."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

Label = Callable[[float], str]
"""Writes one tick."""

TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)
"""Seconds between ticks that people read without arithmetic."""


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 x 10^k that puts at most `most` ticks on `span`."""
    if span <= 0 or most < 1:
        return 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1, 2, 2.5, 5, 10):
        if raw <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers within [low, high], ascending."""
    if not high > low:
        return [low]
    step = nice_step(high - low, most)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def step_ticks(low: float, high: float, most: int) -> list[float]:
    """As `ticks`, in whole steps."""
    step = max(1.0, nice_step(high - low, most))
    step = math.ceil(step) if step < 10 else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def time_ticks(low: float, high: float, most: int) -> list[float]:
    """As `ticks`, in steps of a clock."""
    span = high - low
    step = next((s for s in TIME_STEPS if span / s <= max(1, most)), TIME_STEPS[-1])
    while span / step > max(1, most):
        step *= 2
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(index * step) for index in range(first, last + 1)]


def labels(values: list[float]) -> list[str]:
    """The ticks with as many decimals as tell them apart, and no more."""
    if not values:
        return []
    gap = min((b - a for a, b in pairwise(values)), default=abs(values[0]) or 1.0)
    size = max(abs(value) for value in values)
    if size and (size < 1e-2 or size >= 1e6):
        return ["0" if value == 0 else _scientific(value) for value in values]
    digits = max(0, -math.floor(math.log10(gap) + 1e-9)) if gap > 0 else 0
    if digits and abs(round(gap * 10**digits) - gap * 10**digits) > 1e-6:
        digits += 1
    if size >= 10_000 and not digits:
        return [f"{value / 1000:g}k" if value else "0" for value in values]
    return [f"{value:.{min(digits, 6)}f}" for value in values]


def step_label(value: float) -> str:
    """`0`, `500`, `12k`, `12.5k`."""
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def speed_label(value: float) -> str:
    """`0`, `500`, `2.5k`."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
