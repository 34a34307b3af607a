"""The chart every history shares: axes, grid, band, curve and marks, in any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.style import Style

from states.series import Series
from tuiapp import axis, ink
from tuiapp import format as fmt
from tuiapp.frame import Frame
from tuiapp.ink import Row, cells, say
from tuiapp.plot import Area, Dots, Point, by_step, by_wall, columns, compose

THICK_ROWS = 9
"""From this height on a curve is two dots thick, so that it stands out from its band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A single sign in the chart, at a step and a moment, on a value; without a value it stands on the x axis."""

    step: int
    wall: float
    value: float | None
    glyph: str
    style: Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw. `band` is drawn dim from low to high, `curve` bright from mean to mean."""

    band: Series | None = None
    curve: Series | None = None
    curve_style: Style = ink.CURVE
    band_style: Style = ink.HAZE
    marks: Sequence[Mark] = ()
    boundaries: Sequence[int] = ()
    """Steps where a phase ended."""
    bottom: float | None = None
    """A value that must be on the axis (0 for a learning rate)."""
    axis_x: bool = True
    label: axis.Label | None = None
    extra: Sequence[float] = field(default_factory=tuple)
    """Further values that must fit."""


def draw(chart: Chart, frame: Frame, width: int, height: int) -> list[Row]:
    """The chart in exactly height rows of at most width cells."""
    if width < 4 or height < 1:
        return []
    place = by_wall if frame.by_time else by_step
    band = place(chart.band.buckets) if chart.band is not None else []
    curve = place(chart.curve.buckets) if chart.curve is not None else []
    points = band or curve
    if not points:
        return _empty(width, height)
    area = _area(chart, frame, band, curve)
    axis_x = chart.axis_x and height >= 4
    tall = height - axis_x
    ticks = axis.ticks(area.bottom, area.top, max(1, min(8, tall // 3 + 1))) if width >= 16 else []
    texts = [chart.label(value) for value in ticks] if chart.label else axis.labels(ticks)
    gutter = max((len(text) for text in texts), default=0)
    plot = width - gutter - 1
    if plot < 4:
        gutter, plot, ticks, texts = -1, width, [], []
    rows = _plot(chart, frame, band, curve, area, plot, tall, ticks)
    shown = {area.down(value, tall): text for value, text in zip(ticks, texts, strict=True)}
    if gutter >= 0:
        glyphs = frame.glyphs
        rows = [
            [
                *say(
                    (shown.get(y, "").rjust(gutter), ink.LABEL),
                    (glyphs.tick_y if y in shown else glyphs.vertical, ink.BORDER),
                ),
                *row,
            ]
            for y, row in enumerate(rows)
        ]
    return [*rows, _x_axis(chart, frame, area, plot, gutter)] if axis_x else rows


def _area(chart: Chart, frame: Frame, band: Sequence[Point], curve: Sequence[Point]) -> Area:
    """The edges: all of the curve, nearly all of the band (a lone spike would flatten the rest), every mark."""
    values = [point[4] for point in curve]
    lows, highs = sorted(point[2] for point in band), sorted(point[3] for point in band)
    if lows:
        rare = len(lows) // 50
        values += [lows[min(rare, len(lows) - 1)], highs[max(0, len(highs) - 1 - rare)]]
    values += [mark.value for mark in chart.marks if mark.value is not None]
    values += list(chart.extra)
    if chart.bottom is not None:
        values.append(chart.bottom)
    low, high = min(values), max(values)
    room = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    bottom = low if chart.bottom is not None and low >= chart.bottom else low - room
    points = band or curve
    placed = [mark.wall if frame.by_time else mark.step for mark in chart.marks]
    left, right = min(points[0][0], *placed, points[-1][1]), max(points[-1][1], *placed, points[0][0])
    return Area(left=left, right=right if right > left else left + 1.0, bottom=bottom, top=high + room)


def _plot(
    chart: Chart,
    frame: Frame,
    band: Sequence[Point],
    curve: Sequence[Point],
    area: Area,
    width: int,
    height: int,
    ticks: Sequence[float],
) -> list[Row]:
    glyphs = frame.glyphs
    layers: list[tuple[Dots, Style, str]] = []
    if curve:
        dots = Dots(width, height, braille=glyphs.braille)
        dots.line(columns(curve, area, dots.width), area, thick=glyphs.braille and height >= THICK_ROWS)
        layers.append((dots, chart.curve_style, glyphs.line))
    if band:
        dots = Dots(width, height, braille=glyphs.braille)
        dots.band(columns(band, area, dots.width), area)
        layers.append((dots, chart.band_style, glyphs.dot))
    marks: dict[tuple[int, int], tuple[str, Style]] = {}
    filled = {(x, y) for dots, _, _ in layers for y, row in enumerate(dots.cells) for x, bits in enumerate(row) if bits}
    if height >= 5:
        for value in ticks:
            y = area.down(value, height)
            for x in range(width):
                if (x, y) not in filled:
                    marks[x, y] = (glyphs.grid, ink.GRID)
    if not frame.by_time:
        for step in chart.boundaries:
            x = area.across(step, width)
            if 0 < x < width - 1:
                marks.update({(x, y): (glyphs.boundary, ink.FAINT) for y in range(height) if (x, y) not in filled})
    for mark in chart.marks:
        x = area.across(mark.wall if frame.by_time else mark.step, width)
        if mark.value is not None and 0 <= x < width:
            marks[x, area.down(mark.value, height)] = (mark.glyph, mark.style)
    return compose(layers, marks, glyphs, width, height)


def _x_axis(chart: Chart, frame: Frame, area: Area, width: int, gutter: int) -> Row:
    """The lower edge with its ticks written into the line."""
    glyphs = frame.glyphs
    most = max(1, width // 14)
    if frame.by_time:
        origin = frame.view.window.opened_wall or area.left
        places = [
            (origin + value, fmt.brief(value))
            for value in axis.time_ticks(area.left - origin, area.right - origin, most)
        ]
    else:
        places = [(value, axis.step_label(value)) for value in axis.step_ticks(area.left, area.right, most)]
    line = [glyphs.horizontal] * width
    style = [ink.BORDER] * width
    for mark in chart.marks:
        x = area.across(mark.wall if frame.by_time else mark.step, width)
        if mark.value is None and 0 <= x < width:
            line[x], style[x] = mark.glyph, mark.style
    free = 0
    for value, text in places:
        x = area.across(value, width)
        start = x if x == 0 else x - len(text) // 2
        if start < free or start + len(text) > width:
            continue
        for index, character in enumerate(text):
            line[start + index], style[start + index] = character, ink.LABEL
        free = start + len(text) + 1
    head = say((" " * max(0, gutter), ink.PLAIN), (glyphs.corner if gutter >= 0 else "", ink.BORDER))
    row = [*head, *say(*zip(line, style, strict=True))]
    unit = " time" if frame.by_time else " step"
    return row if cells(row) + len(unit) > width + gutter + 1 else [*row, *say((unit, ink.FAINT))]


def _empty(width: int, height: int) -> list[Row]:
    text = "no values yet"
    rows: list[Row] = [[] for _ in range(height)]
    rows[height // 2] = say((text.center(width) if len(text) <= width else text[:width], ink.FAINT))
    return rows
