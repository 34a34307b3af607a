"""Replay: the whole run as one line, its marks, and where the playhead is."""

from __future__ import annotations

from rich.style import Style

from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.glyphs import Glyphs
from tuiapp.ink import Row, cells, say, spread
from tuiapp.meter import bar, marked
from tuiapp.widgets.panel import Sheet

RANK = ("eval", "checkpoint", "phase", "alert")
"""Which mark is shown where several fall on one cell: the last of these."""


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """The line, and under it the legend where there is a row for it."""
    head = frame.playhead
    if head is None:
        return Sheet()
    glyphs = frame.glyphs
    mark = glyphs.play if head.playing else glyphs.pause
    left = say((f" {mark} ", ink.NOTE), (fmt.timer(head.at_s), ink.BRIGHT), (" ", ink.PLAIN))
    right = say((f" {fmt.timer(head.length_s)} ", ink.LABEL), (f"x{head.speed:g} ", ink.BRIGHT))
    size = max(4, width - cells(left) - cells(right))
    share = head.at_s / head.length_s if head.length_s > 0 else 0.0
    line = bar(share, size, ink.BAND, glyphs)
    line = marked(line, {**_marks(frame, size), round(share * (size - 1)): (glyphs.full, ink.BRIGHT)})
    rows: list[Row] = [[*left, *line, *right]]
    if height > 1:
        rows.append(_legend(frame, width))
    return Sheet(body=rows)


def sign(topic: str, glyphs: Glyphs) -> tuple[str, Style]:
    """The mark of a topic."""
    return {
        "phase": (glyphs.target, ink.NOTE),
        "eval": (glyphs.diamond, ink.VALIDATION),
        "checkpoint": (glyphs.disc, ink.GOOD),
        "alert": (glyphs.warn, ink.WARN),
    }[topic]


def _marks(frame: Frame, size: int) -> dict[int, tuple[str, Style]]:
    head = frame.playhead
    if head is None or head.length_s <= 0:
        return {}
    marks: dict[int, tuple[str, Style]] = {}
    for topic in RANK:
        for at_s, name in head.marks:
            if name == topic:
                marks[round(at_s / head.length_s * (size - 1))] = sign(topic, frame.glyphs)
    return marks


def _legend(frame: Frame, width: int) -> Row:
    head, glyphs = frame.playhead, frame.glyphs
    parts: list[tuple[str, Style]] = [(" ", ink.PLAIN)]
    for topic in ("phase", "eval", "checkpoint", "alert"):
        mark, style = sign(topic, glyphs)
        parts += [(f"{mark} ", style), (f"{topic}   ", ink.LABEL)]
    busy = say(("folding ", ink.NOTE)) if head is not None and head.busy else []
    when = say((f"recorded {fmt.moment(frame.now, frame.started)} ", ink.LABEL))
    return spread(say(*parts), [*busy, *when], width)
