"""A matrix whose cells say their number and show it by the strength of one colour."""

from __future__ import annotations

import math

from engine.report.chart import HeatChart
from engine.report.plots.canvas import Canvas
from engine.report.plots.scale import told
from engine.report.plots.theme import Theme

ROW = 2.1
"""Height of a row, in letters."""
LONGEST = 22
"""Letters of a row's name."""


def height(chart: HeatChart, theme: Theme) -> float:
    """How tall the drawing must be."""
    return theme.size * (ROW * len(chart.rows) + 2.2)


def draw(canvas: Canvas, chart: HeatChart) -> None:
    """Draw the matrix with its names."""
    if not chart.rows or not chart.columns:
        return
    theme = canvas.theme
    names = [_short(name) for name in chart.rows]
    left = max(map(theme.width, names)) + 10
    cell = (canvas.width - left - 2) / len(chart.columns)
    row_height = theme.size * ROW
    heads = _heads(chart, theme, cell)
    every = max(1, math.ceil(max(map(theme.width, heads)) / cell))
    for index, name in enumerate(heads):
        if index % every == 0:
            canvas.text(left + cell * (index + 0.5), theme.size * 1.1, name, anchor="middle")
    for row, name in enumerate(names):
        top = theme.size * 1.7 + row * row_height
        canvas.text(left - 8, top + row_height / 2 + theme.size * 0.33, name, anchor="end")
        for column, value in enumerate(chart.values[row]):
            x = left + column * cell
            strength = _strength(value, chart)
            canvas.box(x + 1, top + 1, cell - 2, row_height - 2, "grid", round_=3)
            canvas.box(x + 1, top + 1, cell - 2, row_height - 2, "blue", opacity=strength, round_=3)
            word = "-" if value is None else told(value, chart.cell_format)
            if theme.width(word) < cell:
                ink = "surface" if strength > 0.55 else "text"
                canvas.text(x + cell / 2, top + row_height / 2 + theme.size * 0.33, word, ink, anchor="middle")


def _strength(value: float | None, chart: HeatChart) -> float:
    if value is None or chart.high <= chart.low:
        return 0.0
    share = (value - chart.low) / (chart.high - chart.low)
    return 0.06 + 0.84 * min(1.0, max(0.0, share))


def _heads(chart: HeatChart, theme: Theme, cell: float) -> list[str]:
    """The columns' names, or only what tells them apart where there is no room: `expert 12` is then `12`."""
    names = [_short(name) for name in chart.columns]
    if all(theme.width(name) <= cell for name in names):
        return names
    return [_short(name.rpartition(" ")[2], 8) for name in chart.columns]


def _short(name: str, most: int = LONGEST) -> str:
    return name if len(name) <= most else name[: max(1, most - 2)] + ".."
