"""One entry for every kind of chart: its size, and the drawing as SVG."""

from __future__ import annotations

from engine.report.chart import AreaChart, BarChart, Chart, HeatChart, Histogram, LineChart, Timeline
from engine.report.plots import area, bars, heat, line, timeline
from engine.report.plots.canvas import Canvas
from engine.report.plots.theme import Theme

NARROW = 420.0
"""Units of a drawing for half a page or a phone."""
WIDE = 860.0
"""Units of one that takes the whole line."""


def draw(chart: Chart, theme: Theme, *, wide: bool, label: str) -> str:
    """Return the chart as an SVG document, `label` told to those who do not see it."""
    width = WIDE if wide else NARROW
    canvas = Canvas(width, _height(chart, theme, wide=wide), theme, label=label)
    match chart:
        case LineChart():
            line.draw(canvas, chart)
        case AreaChart():
            area.draw(canvas, chart)
        case HeatChart():
            heat.draw(canvas, chart)
        case BarChart():
            bars.draw(canvas, chart)
        case Histogram():
            bars.histogram(canvas, chart)
        case Timeline():
            timeline.draw(canvas, chart)
    return canvas.svg()


def _height(chart: Chart, theme: Theme, *, wide: bool) -> float:
    match chart:
        case HeatChart():
            return heat.height(chart, theme)
        case BarChart():
            return bars.height(chart, theme)
        case Timeline():
            return timeline.height(chart, theme)
    return 290.0 if wide else 225.0
