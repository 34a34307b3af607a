"""Dots on a grid: histories reduced to columns, columns to braille.

A terminal cell holds 2 x 4 braille dots, so a chart has eight times the cells' resolution. Raw values are drawn as a
dim band from the lowest to the highest sample of each column, which keeps every spike without a solid block of noise;
the smoothed curve is drawn bright over it and keeps its cells to itself, so that it stays a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.style import Style

from states.series import Bucket
from tuiapp.glyphs import Glyphs
from tuiapp.ink import Row, say

BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Braille dot (row, column) -> bit of the code point above U+2800."""

Column = tuple[float, float, float] | None
"""Lowest, highest and mean value that fall on one column of dots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The values at the edges of a chart."""

    left: float
    right: float
    bottom: float
    top: float

    def across(self, x: float, size: int) -> int:
        """The index of x among `size` columns, possibly outside."""
        return round((x - self.left) / ((self.right - self.left) or 1.0) * (size - 1))

    def down(self, y: float, size: int) -> int:
        """The index of y among `size` rows, 0 on top, kept inside."""
        place = (self.top - y) / ((self.top - self.bottom) or 1.0) * (size - 1)
        return min(size - 1, max(0, round(place)))


Point = tuple[float, float, float, float, float]
"""x from, x to, low, high, mean."""


def by_step(buckets: Iterable[Bucket]) -> list[Point]:
    """Buckets on an axis of steps."""
    return [(b.first, b.last, b.low, b.high, b.total / b.count) for b in buckets]


def by_wall(buckets: Iterable[Bucket]) -> list[Point]:
    """Buckets on an axis of Unix seconds."""
    points: list[Point] = []
    before: float | None = None
    for b in buckets:
        points.append((b.last_wall if before is None else before, b.last_wall, b.low, b.high, b.total / b.count))
        before = b.last_wall
    return points


def columns(points: Sequence[Point], area: Area, size: int) -> list[Column]:
    """The points reduced to `size` columns; gaps between neighbours are bridged with straight lines."""
    found: list[Column] = [None] * size
    scale = (size - 1) / ((area.right - area.left) or 1.0)
    for start, stop, low, high, mean in points:
        first, last = round((start - area.left) * scale), round((stop - area.left) * scale)
        for index in range(max(0, first), min(size - 1, last) + 1):
            old = found[index]
            found[index] = (low, high, mean) if old is None else (min(old[0], low), max(old[1], high), mean)
    held = [index for index, column in enumerate(found) if column is not None]
    for a, b in pairwise(held):
        left, right = found[a], found[b]
        if b - a < 2 or left is None or right is None:
            continue
        for index in range(a + 1, b):
            t = (index - a) / (b - a)
            value = left[2] + t * (right[2] - left[2])
            found[index] = (value, value, value)
    return found


class Dots:
    """One layer of a chart: a grid of dots, packed into cells."""

    def __init__(self, width: int, height: int, *, braille: bool) -> None:
        self.across, self.down = (2, 4) if braille else (1, 1)
        self.width, self.height = width * self.across, height * self.down
        self.cells = [[0] * width for _ in range(height)]

    def column(self, x: int, first: int, last: int) -> None:
        """Set the dots of column x from row `first` to row `last`."""
        if not 0 <= x < self.width:
            return
        across, down = self.across, self.down
        for y in range(max(0, first), min(self.height - 1, last) + 1):
            self.cells[y // down][x // across] |= BITS[y % down][x % across]

    def band(self, found: Sequence[Column], area: Area) -> None:
        """Fill each column from its lowest to its highest value, joined to its neighbour."""
        before: tuple[int, int] | None = None
        for x, column in enumerate(found):
            if column is None:
                before = None
                continue
            first, last = area.down(column[1], self.height), area.down(column[0], self.height)
            if before is not None:
                first, last = min(first, before[1]), max(last, before[0])
            self.column(x, first, last)
            before = (area.down(column[1], self.height), area.down(column[0], self.height))

    def line(self, found: Sequence[Column], area: Area, *, thick: bool = False) -> None:
        """Draw the means as one connected line, one dot thick or two."""
        before: int | None = None
        for x, column in enumerate(found):
            if column is None:
                before = None
                continue
            y = area.down(column[2], self.height)
            if before is None or abs(y - before) <= 1:
                self.column(x, y, y + thick)
            else:
                self.column(x, min(y, before + (y > before)), max(y, before - (y < before)) + thick)
            before = y


def compose(
    layers: Sequence[tuple[Dots, Style, str]],
    marks: dict[tuple[int, int], tuple[str, Style]],
    glyphs: Glyphs,
    width: int,
    height: int,
) -> list[Row]:
    """Rows of `width` cells: marks over layers, the first layer on top. A layer is (dots, style, its ASCII point)."""
    rows: list[Row] = []
    for y in range(height):
        parts: list[tuple[str, Style]] = []
        for x in range(width):
            mark = marks.get((x, y))
            cell = mark or next(
                (
                    (chr(0x2800 + dots.cells[y][x]) if glyphs.braille else point, style)
                    for dots, style, point in layers
                    if dots.cells[y][x]
                ),
                (" ", layers[0][1] if layers else Style()),
            )
            if parts and (parts[-1][1] is cell[1] or cell[0] == " "):
                parts[-1] = (parts[-1][0] + cell[0], parts[-1][1])
            else:
                parts.append(cell)
        rows.append(say(*parts))
    return rows
