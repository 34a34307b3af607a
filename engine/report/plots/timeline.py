"""The run on the clock: lanes with what lasted as bars and what happened as dots."""

from __future__ import annotations

from engine.report.chart import Lane, Timeline
from engine.report.plots.canvas import Canvas
from engine.report.plots.scale import Scale
from engine.report.plots.theme import Theme
from states.wording import duration

LANE = 2.3
"""Height of a lane, in letters."""
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def height(chart: Timeline, theme: Theme) -> float:
    """How tall the drawing must be."""
    return theme.size * (LANE * len(chart.lanes) + 3.4)


def draw(canvas: Canvas, chart: Timeline) -> None:
    """Draw the lanes over one axis of wall time."""
    theme = canvas.theme
    left = max((theme.width(lane.name) for lane in chart.lanes), default=0.0) + 10
    x = Scale(low=0.0, high=chart.length_s or 1.0, start=left, end=canvas.width - 12)
    top = theme.size * 1.4
    bottom = top + theme.size * LANE * len(chart.lanes)
    for at in _ticks(chart.length_s, (canvas.width - left) / (theme.size * 6)):
        canvas.line(x(at), top, x(at), bottom, "grid")
        word = duration(at) if at else "0"
        anchor = "end" if x(at) > canvas.width - theme.width(word) / 2 - 2 else "middle"
        canvas.text(x(at), bottom + theme.size * 1.4, word, anchor=anchor)
    for index, lane in enumerate(chart.lanes):
        _lane(canvas, x, lane, top + index * theme.size * LANE)
    for mark in chart.marks:
        if 0 <= mark.at <= chart.length_s:
            place = x(mark.at)
            canvas.line(place, top - 3, place, bottom, mark.tone, width=1.4, dash="4 3")
            anchor = "end" if place > canvas.width / 2 else "start"
            canvas.text(place, top - theme.size * 0.45, mark.label, mark.tone, anchor=anchor)


def _lane(canvas: Canvas, x: Scale, lane: Lane, top: float) -> None:
    size = canvas.theme.size
    middle = top + size * LANE / 2
    canvas.text(x.start - 8, middle + size * 0.34, lane.name, anchor="end")
    canvas.line(x.start, middle, x.end, middle, "grid")
    for piece in lane.stretches:
        start, end = x(piece.start), x(piece.end)
        tip = f"{piece.label}: {duration(piece.end - piece.start)}"
        canvas.box(start, middle - size * 0.72, max(1.2, end - start - 1), size * 1.44, piece.ink, round_=2, tip=tip)
        if canvas.theme.width(piece.label) + 8 < end - start:
            canvas.text((start + end) / 2, middle + size * 0.33, piece.label, "surface", anchor="middle", bold=True)
    for dot in lane.dots:
        canvas.dot(x(dot.at), middle, dot.tone, radius=size * 0.36, ring=True, tip=dot.label)


def _ticks(length_s: float, most: float) -> list[float]:
    step = next((step for step in _STEPS if length_s / step <= most), 86400)
    while length_s / step > most:
        step *= 2
    return [index * step for index in range(int(length_s // step) + 1)]
