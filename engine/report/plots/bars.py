"""Horizontal bars in groups, and counts in buckets."""

from __future__ import annotations

from engine.report.chart import BarChart, Histogram
from engine.report.plots.canvas import Canvas
from engine.report.plots.scale import Scale, compact, ticks, told
from engine.report.plots.theme import Theme

INKS = ("slate", "blue", "orange")
"""What was expected is grey, what came is in colour."""
BAR = 1.05
"""Height of one bar, in letters."""
GAP = 0.75
LONGEST = 24


def height(chart: BarChart, theme: Theme) -> float:
    """How tall the drawing must be."""
    group = BAR * len(chart.names) + GAP
    return theme.size * (group * len(chart.bars) + (1.8 if len(chart.names) > 1 else 0.7))


def draw(canvas: Canvas, chart: BarChart) -> None:
    """Draw the bars; each says its value at its end."""
    if not chart.bars:
        return
    theme = canvas.theme
    top = _legend(canvas, chart)
    labels = [bar.label if len(bar.label) <= LONGEST else bar.label[: LONGEST - 2] + ".." for bar in chart.bars]
    left = max(map(theme.width, labels)) + 10
    values = [value for bar in chart.bars for value in bar.values if value is not None]
    room = max((theme.width(told(value, chart.value_format)) for value in values), default=0.0) + 10
    x = Scale(low=0.0, high=max([*values, 0.0]) or 1.0, start=left, end=canvas.width - room)
    thick = theme.size * BAR
    colours = INKS if len(chart.names) > 1 else ("blue",)
    for label, bar in zip(labels, chart.bars, strict=True):
        middle = top + thick * len(chart.names) / 2
        canvas.text(left - 8, middle + theme.size * 0.34, label, anchor="end")
        for index, value in enumerate(bar.values):
            y = top + index * thick
            if value is not None:
                canvas.box(left, y + 1.5, max(1.0, x(value) - left), thick - 3, colours[index % 3], round_=2)
            word = "unknown" if value is None else told(value, chart.value_format)
            end = left if value is None else x(value)
            canvas.text(end + 6, y + thick / 2 + theme.size * 0.33, word, "text" if index else "soft", size=0.95)
        top += thick * len(chart.names) + theme.size * GAP
    canvas.line(left, theme.size * 0.6 if len(chart.names) == 1 else theme.size * 1.6, left, top - 4, "axis")


def _legend(canvas: Canvas, chart: BarChart) -> float:
    theme = canvas.theme
    if len(chart.names) < 2:
        return theme.size * 0.7
    x = 0.0
    for index, name in enumerate(chart.names):
        canvas.box(x, theme.size * 0.25, theme.size * 0.8, theme.size * 0.8, INKS[index % 3], round_=2)
        canvas.text(x + theme.size * 1.15, theme.size, name)
        x += theme.size * 2.4 + theme.width(name)
    return theme.size * 1.8


def histogram(canvas: Canvas, chart: Histogram) -> None:
    """Draw counts as columns over the edges of their buckets."""
    if not chart.counts or not any(chart.counts):
        return
    theme = canvas.theme
    top, bottom = theme.size * 2.0, canvas.height - theme.size * 2.0
    rows = [value for value in ticks(0.0, float(max(chart.counts)), 4) if value == int(value)]
    left = max(theme.width(compact(value)) for value in rows) + 10
    y = Scale(low=0.0, high=float(max(chart.counts)), start=bottom, end=top)
    for value in rows:
        canvas.line(left, y(value), canvas.width - 4, y(value), "grid")
        canvas.text(left - 7, y(value) + theme.size * 0.34, compact(value), anchor="end")
    column = (canvas.width - 4 - left) / len(chart.counts)
    every = max(1, round(theme.width("00,000") / column + 0.5))
    for index, count in enumerate(chart.counts):
        x = left + index * column
        canvas.box(x + 1, y(count), column - 2, bottom - y(count), "blue", opacity=0.85, round_=1.5, tip=f"{count:,}")
        if index % every == 0:
            canvas.text(x, canvas.height - theme.size * 0.55, compact(chart.edges[index]), anchor="middle")
    canvas.line(left, bottom, canvas.width - 4, bottom, "axis")
    is_open = len(chart.edges) == len(chart.counts)
    if not is_open and len(chart.counts) % every == 0:
        canvas.text(canvas.width - 4, canvas.height - theme.size * 0.55, compact(chart.edges[-1]), anchor="end")
    canvas.text(
        canvas.width - 4, theme.size, f"{chart.x_label}{', the last without end' if is_open else ''}", anchor="end"
    )
