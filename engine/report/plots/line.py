"""Curves over steps, each with its name at its end in its own colour."""

from __future__ import annotations

import math

from engine.report.chart import Curve, LineChart
from engine.report.plots.canvas import Canvas
from engine.report.plots.frame import Frame, frame, levels, marks
from engine.report.plots.scale import told, widened


def draw(canvas: Canvas, chart: LineChart) -> None:
    """Draw the chart; nothing where there is nothing to draw."""
    curves = [curve for curve in chart.curves if curve.points]
    if not curves:
        return
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for y in (*(y for _, y in curve.points), *curve.low, *curve.high)]
    ys = [y for y in ys if math.isfinite(y)]
    ys += [level.at for level in chart.levels if _near(level.at, ys)]
    ys += chart.span or ()
    low, high = widened(min(ys), max(ys), from_zero=chart.from_zero, top=chart.top)
    named = [curve for curve in curves if curve.name and not curve.faint]
    width = max((canvas.theme.width(_label(curve, chart)) for curve in named), default=0.0)
    area = frame(
        canvas,
        x=(min(xs), max(xs)),
        y=(low, high),
        y_format=chart.y_format,
        x_label=chart.x_label,
        right=width + 14 if named else 10,
    )
    marks(canvas, area, chart.marks)
    for curve in curves:
        _curve(canvas, area, curve)
    places = [(area.x(x), area.y(y)) for each in curves for x, y in each.points]
    levels(canvas, area, chart.levels, places)
    _names(canvas, area, named, chart)


def _near(at: float, ys: list[float]) -> bool:
    """A level far from the data would flatten every curve: it is drawn only where it is in reach."""
    low, high = min(ys), max(ys)
    span = max(high - low, 1e-9)
    return low - 0.3 * span <= at <= high + 0.3 * span


def _label(curve: Curve, chart: LineChart) -> str:
    value = curve.points[-1][1]
    rounded = chart.y_format == "compact" and 1e-3 <= abs(value) < 1e4
    number = told(value, ".4g" if rounded else chart.y_format)
    return f"{curve.name} {number}" if len(curve.name) <= 12 else curve.name


def _curve(canvas: Canvas, area: Frame, curve: Curve) -> None:
    if curve.low and curve.high:
        upper = [(area.x(x), area.y(high)) for (x, _), high in zip(curve.points, curve.high, strict=True)]
        lower = [(area.x(x), area.y(low)) for (x, _), low in zip(curve.points, curve.low, strict=True)]
        canvas.area([*upper, *reversed(lower)], curve.ink, opacity=0.16)
    places = [(area.x(x), area.y(y)) for x, y in curve.points]
    if curve.faint:
        canvas.path(places, curve.ink, width=1.0, opacity=0.38)
        return
    canvas.path(places, curve.ink, width=2.0)
    if curve.dots or len(places) == 1:
        for place, (x, y) in zip(places, curve.points, strict=True):
            canvas.dot(*place, curve.ink, radius=3.2, ring=True, tip=f"{curve.name}, {x:g}: {y:.4g}")


def _names(canvas: Canvas, area: Frame, named: list[Curve], chart: LineChart) -> None:
    """Names at the curves' ends, moved apart where they would overlap."""
    height = canvas.theme.size * 1.15
    ends = sorted(((area.y(curve.points[-1][1]), curve) for curve in named), key=lambda each: each[0])
    places = [place for place, _ in ends]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + height)
    overflow = max(0.0, places[-1] - area.bottom) if places else 0.0
    for index in range(len(places) - 1, -1, -1):
        limit = places[index + 1] - height if index + 1 < len(places) else places[index] - overflow
        places[index] = min(places[index], limit)
    for place, (_, curve) in zip(places, ends, strict=True):
        canvas.text(area.right + 8, place + canvas.theme.size * 0.34, _label(curve, chart), curve.ink, bold=True)
