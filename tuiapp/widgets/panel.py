"""The one widget of the cockpit: a framed sheet that redraws only the rows that changed.

A painter is a plain function of (frame, width, height). That keeps every panel testable without a terminal, and a row
that reads as before is never sent over the wire again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.glyphs import Glyphs
from tuiapp.ink import Row, cells, fit, say, trimmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a painter returns: the rows of its inside, and what stands in its frame's upper edge."""

    title: Row = field(default_factory=list)
    caption: Row = field(default_factory=list)
    """At the right of the title; left out where it does not fit."""
    body: list[Row] = field(default_factory=list)


Painter = Callable[[Frame, int, int], Sheet]
"""(frame, inner width, inner height) -> sheet."""


Inputs = Callable[[Frame], tuple[object, ...]]
"""The parts of a frame that a costly painter reads: while they stay the same, so does its sheet."""


class Panel(Widget):
    """A painter on the screen."""

    ALLOW_SELECT = False

    def __init__(self, name: str, painter: Painter, *, framed: bool = True, inputs: Inputs | None = None) -> None:
        super().__init__(id=name)
        self._inputs = inputs
        self._painted_of: tuple[object, ...] | None = None
        self._painter = painter
        self._framed = framed
        self._shown: Frame | None = None
        self._rows: list[Row] = []
        self.boxed = True
        """A full box; otherwise only a rule above, where rows are scarce."""

    def show(self, frame: Frame) -> None:
        """Paint `frame`, and mark the rows that differ from what is on the screen."""
        self._shown = frame
        if not self.display or not self.size:
            return
        if self._inputs is not None:
            inputs = (self.size, self.boxed, *self._inputs(frame))
            if inputs == self._painted_of:
                return
            self._painted_of = inputs
        rows = self._paint(frame)
        old, self._rows = self._rows, rows
        if len(old) != len(rows):
            self.refresh()
            return
        changed = [Region(0, y, self.size.width, 1) for y, (a, b) in enumerate(zip(old, rows, strict=True)) if a != b]
        if changed:
            self.refresh(*changed)

    def on_resize(self) -> None:
        """Paint again in the new size."""
        self._painted_of = None
        if self._shown is not None:
            self.show(self._shown)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One painted row, exactly as wide as the widget."""
        if y >= len(self._rows):
            return Strip.blank(self.size.width, ink.PLAIN)
        return Strip(fit(self._rows[y], self.size.width), self.size.width)

    def _paint(self, frame: Frame) -> list[Row]:
        width, height = self.size
        if width < 2 or height < 1:
            return []
        if not self._framed:
            return self._painter(frame, width, height).body[:height]
        if self.boxed:
            sheet = self._painter(frame, max(1, width - 4), max(1, height - 2))
            return boxed(sheet, width, height, frame.glyphs)
        sheet = self._painter(frame, max(1, width - 2), max(1, height - 1))
        return ruled(sheet, width, height, frame.glyphs)


def boxed(sheet: Sheet, width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """The sheet in a box of exactly width x height cells."""
    if width < 6 or height < 3:
        return [fit(row, width) for row in sheet.body[:height]]
    side = say((glyphs.vertical + " ", ink.BORDER))
    other = say((" " + glyphs.vertical, ink.BORDER))
    body = [*sheet.body[: height - 2], *([[]] * (height - 2 - len(sheet.body)))]
    return [
        [
            *say((glyphs.top_left, ink.BORDER)),
            *_edge(sheet, width - 2, glyphs),
            *say((glyphs.top_right, ink.BORDER)),
        ],
        *([*side, *fit(row, width - 4), *other] for row in body),
        say((glyphs.bottom_left + glyphs.horizontal * (width - 2) + glyphs.bottom_right, ink.BORDER)),
    ]


def ruled(sheet: Sheet, width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """The sheet under a rule, in exactly width x height cells."""
    margin = say((" ", ink.PLAIN))
    body = [*sheet.body[: height - 1], *([[]] * (height - 1 - len(sheet.body)))]
    return [_edge(sheet, width, glyphs), *([*margin, *fit(row, width - 2), *margin] for row in body)]


def _edge(sheet: Sheet, width: int, glyphs: Glyphs) -> Row:
    """The upper edge: `- title ------ caption -`."""
    line = glyphs.horizontal
    title = trimmed(sheet.title)
    title = fit(title, width - 4) if cells(title) > width - 4 else title
    left = [*say((line + " ", ink.BORDER)), *title, *say((" ", ink.BORDER))] if title else say((line, ink.BORDER))
    right = [*say((" ", ink.BORDER)), *sheet.caption, *say((" " + line, ink.BORDER))] if sheet.caption else []
    gap = width - cells(left) - cells(right)
    if gap < 1:
        right, gap = [], width - cells(left)
    return fit([*left, *say((line * max(0, gap), ink.BORDER)), *right], width)
