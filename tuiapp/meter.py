"""Bars and sparklines: numbers as lengths, always beside the number itself."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from states.series import Series
from tuiapp import ink
from tuiapp.glyphs import Glyphs
from tuiapp.ink import Row, say

CALM = 0.3
"""The least range of a sparkline, as a part of its greatest value."""


def bar(share: float | None, width: int, style: Style, glyphs: Glyphs) -> Row:
    """A bar of `width` cells filled to `share` of 0..1, to half a cell."""
    if width <= 0:
        return []
    whole, rest = divmod(round(min(1.0, max(0.0, share or 0.0)) * width * 2), 2)
    head = glyphs.heavy * whole + glyphs.half * rest
    return say((head, style), (glyphs.track * (width - len(head)), ink.TRACK))


def marked(row: Row, marks: dict[int, tuple[str, Style]]) -> Row:
    """The row with single cells replaced; every cell of `row` must be one character wide."""
    parts = [(character, segment.style or ink.PLAIN) for segment in row for character in segment.text]
    for place, mark in marks.items():
        if 0 <= place < len(parts):
            parts[place] = mark
    return say(*joined(parts))


def joined(parts: Sequence[tuple[str, Style]]) -> list[tuple[str, Style]]:
    """Neighbours of one style made one part."""
    out: list[tuple[str, Style]] = []
    for text, style in parts:
        if out and out[-1][1] == style:
            out[-1] = (out[-1][0] + text, style)
        else:
            out.append((text, style))
    return out


def spark(values: Sequence[float], width: int, style: Style, glyphs: Glyphs, *, floor: float | None = None) -> Row:
    """The newest `width` values as blocks.

    Without a `floor` the scale is the values' own, but never so fine that a tremble looks like an event.
    """
    shown = list(values[-width:]) if width > 0 else []
    if not shown:
        return say((" " * max(0, width), style))
    low, high = min(shown), max(shown)
    if floor is not None:
        low = min(floor, low)
    elif high - low < CALM * abs(high):
        middle, half = (low + high) / 2, CALM * abs(high) / 2
        low, high = middle - half, middle + half
    span = (high - low) or 1.0
    text = "".join(glyphs.levels[min(7, int((value - low) / span * 8))] for value in shown)
    return say((text.rjust(width), style))


def recent(series: Series, count: int) -> list[float]:
    """The means of the last `count` buckets."""
    return [bucket.total / bucket.count for bucket in series.buckets[-count:]] if count > 0 else []
