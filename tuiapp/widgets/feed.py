"""What happened, newest last: the time, a mark for the tone, the topic and one sentence."""

from __future__ import annotations

from states.view import FeedLine
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.glyphs import Glyphs
from tuiapp.ink import Row, clip, inert, pad, say, wrap
from tuiapp.widgets.panel import Sheet

NARROW = 72
"""Below this width a sentence may take two rows, or most would lose their end."""
TOPIC = 10


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """As many of the newest lines as fit."""
    return Sheet(title=say(("events", ink.TITLE)), body=rows(frame, width, height))


def log(frame: Frame, width: int, height: int) -> Sheet:
    """The same without a frame, for tiny screens."""
    return Sheet(body=rows(frame, width, height))


def rows(frame: Frame, width: int, height: int) -> list[Row]:
    """The rows of the newest lines, filled from below."""
    found: list[Row] = []
    for line in reversed(frame.view.feed):
        block = entry(line, width, frame.glyphs, most=2 if width < NARROW and height >= 5 else 1)
        if len(found) + len(block) > height:
            break
        found = [*block, *found]
    return found or [say(("nothing has happened yet", ink.FAINT))]


def entry(line: FeedLine, width: int, glyphs: Glyphs, *, most: int) -> list[Row]:
    """One line of the feed in at most `most` rows."""
    mark = {"good": glyphs.check, "warn": glyphs.warn, "bad": glyphs.cross}.get(line.tone, glyphs.separator)
    style = ink.TONES.get(line.tone, ink.PLAIN)
    words = ink.PLAIN if line.tone == "good" else style
    clock = fmt.time_of_day(line.wall, seconds=width >= NARROW)
    head = say((f"{clock} ", ink.FAINT), (f"{mark} ", style if mark != glyphs.separator else ink.FAINT))
    indent = len(clock) + 3
    text = " ".join(inert(line.text).split())
    if width >= NARROW:
        head += say((pad(line.topic, TOPIC, glyphs.ellipsis) + " ", ink.LABEL))
        return [[*head, *say((clip(text, width - indent - TOPIC - 1, glyphs.ellipsis), words))]]
    if line.topic not in text.split("-")[0]:
        text = f"{inert(line.topic)} {text}"
    if most == 1:
        return [[*head, *say((clip(text, width - indent, glyphs.ellipsis), words))]]
    broken = wrap(text, max(1, width - indent), words, most=most, ellipsis=glyphs.ellipsis)
    return [[*head, *row] if not index else [*say((" " * indent, ink.PLAIN)), *row] for index, row in enumerate(broken)]
