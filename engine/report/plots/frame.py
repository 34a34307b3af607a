"""The part that charts over steps share: margins, grid, axes, vertical marks and horizontal levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.report.chart import Level, Mark
from engine.report.plots.canvas import Canvas
from engine.report.plots.scale import Scale, even, ticks, told

EVEN = "compact"
MARKS = 60
"""Vertical marks; more would cover the chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where the curves may be drawn."""

    x: Scale
    y: Scale
    left: float
    right: float
    top: float
    bottom: float


def frame(
    canvas: Canvas, *, x: tuple[float, float], y: tuple[float, float], y_format: str, x_label: str, right: float,
    head: float = 0.0,
) -> Frame:  # fmt: skip
    """Grid and axes for values of `x` and `y`; `right` units are kept free for direct labels, `head` above."""
    theme = canvas.theme
    top, bottom = theme.size * 0.9 + head, canvas.height - theme.size * 2.0
    rows = ticks(*y, 4 if canvas.height < 220 else 5)
    words = even(rows) if y_format == EVEN else [told(value, y_format) for value in rows]
    left = max(map(theme.width, [*words, x_label])) + 10
    area = Frame(
        x=Scale(low=x[0], high=x[1], start=left, end=canvas.width - right),
        y=Scale(low=y[0], high=y[1], start=bottom, end=top),
        left=left,
        right=canvas.width - right,
        top=top,
        bottom=bottom,
    )
    for value, word in zip(rows, words, strict=True):
        place = area.y(value)
        canvas.line(area.left, place, area.right, place, "grid")
        canvas.text(area.left - 7, place + theme.size * 0.34, word, anchor="end")
    canvas.line(area.left, area.bottom, area.right, area.bottom, "axis")
    columns = [value for value in ticks(*x, max(3, int((area.right - area.left) / 75))) if value == int(value)]
    canvas.text(area.left - 7, canvas.height - theme.size * 0.55, x_label, anchor="end")
    for value, word in zip(columns, even(columns), strict=True):
        place = area.x(value)
        canvas.line(place, area.bottom, place, area.bottom + 4, "axis")
        if place - theme.width(word) / 2 > area.left - 5:
            canvas.text(place, canvas.height - theme.size * 0.55, word, anchor="middle")
    return area


def levels(canvas: Canvas, area: Frame, found: Sequence[Level], drawn: Sequence[tuple[float, float]] = ()) -> None:
    """Horizontal lines with their words where most room is between them and the points that are `drawn`."""
    for level in found:
        if area.y.low <= level.at <= area.y.high:
            place = area.y(level.at)
            canvas.line(area.left, place, area.right, place, "soft", dash="5 4", width=1.1)
            start = _freest(canvas, area, place - canvas.theme.size * 0.4, canvas.theme.width(level.label), drawn)
            canvas.text(start, place - 4, level.label, "soft", halo=True, size=0.92)


def _freest(canvas: Canvas, area: Frame, y: float, width: float, drawn: Sequence[tuple[float, float]]) -> float:
    """Where words of this width at this height are furthest from any point: left, middle or right."""
    starts = (area.left + 5, (area.left + area.right - width) / 2, area.right - width - 5)

    def room(start: float) -> float:
        near = [abs(py - y) for px, py in drawn if start - 6 <= px <= start + width + 6]
        return min(near, default=canvas.height)

    return max(starts, key=lambda start: min(room(start), canvas.theme.size * 2))


def marks(canvas: Canvas, area: Frame, found: Sequence[Mark]) -> None:
    """Vertical lines with their words at the top; of words that would overlap, what matters less goes without."""
    taken: list[tuple[float, float]] = []
    for mark in sorted(found, key=lambda each: (each.tone == "soft", each.at))[:MARKS]:
        if not area.x.low <= mark.at <= area.x.high:
            continue
        place = area.x(mark.at)
        canvas.line(place, area.top, place, area.bottom, mark.tone, dash="2 3", width=1.1)
        width = canvas.theme.width(mark.label)
        at_right = place + 4 + width <= canvas.width
        start = place + 4 if at_right else place - 4 - width
        if all(start + width + 4 < low or start > high + 4 for low, high in taken):
            anchor, spot = ("start", place + 4) if at_right else ("end", place - 4)
            canvas.text(spot, area.top + canvas.theme.size * 0.75, mark.label, mark.tone, anchor=anchor, halo=True)
            taken.append((start, start + width))
