"""Shares stacked to a whole: who carries how much, over time."""

from __future__ import annotations

from engine.report.chart import INKS, AreaChart
from engine.report.plots.canvas import Canvas
from engine.report.plots.frame import frame, marks

NAMED = 12
"""Bands beyond this are too thin for a name."""


def draw(canvas: Canvas, chart: AreaChart) -> None:
    """Draw the chart, the first name at the bottom; names stand at the right end of their bands."""
    if not chart.steps:
        return
    steps, shares = chart.steps, chart.shares
    if len(steps) == 1:
        steps, shares = (steps[0] - 0.5, steps[0] + 0.5), (shares[0], shares[0])
    words = [f"{name} {100 * share:.0f}%" for name, share in zip(chart.names, shares[-1], strict=True)]
    show = len(words) <= NAMED
    width = max(map(canvas.theme.width, words), default=0.0) if show else 0.0
    area = frame(
        canvas,
        x=(steps[0], steps[-1]),
        y=(0.0, 1.0),
        y_format="percent",
        x_label=chart.x_label,
        right=width + 14,
    )
    below = [0.0] * len(steps)
    for index, word in enumerate(words):
        ink = INKS[index % len(INKS)]
        above = [low + row[index] for low, row in zip(below, shares, strict=True)]
        lower = [(area.x(x), area.y(low)) for x, low in zip(steps, below, strict=True)]
        upper = [(area.x(x), area.y(high)) for x, high in zip(steps, above, strict=True)]
        canvas.area([*upper, *reversed(lower)], ink, opacity=0.82)
        canvas.path(upper, "surface", width=1.2)
        if show:
            middle = area.y((below[-1] + above[-1]) / 2)
            canvas.text(area.right + 8, middle + canvas.theme.size * 0.34, word, ink, bold=True)
        below = above
    for level in chart.levels:
        canvas.line(area.left, area.y(level.at), area.right, area.y(level.at), "surface", dash="5 4", width=1.1)
    marks(canvas, area, chart.marks)
