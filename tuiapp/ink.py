"""The palette and the row: what a painter writes with.

Every colour is a point of the 256-colour cube or its grey ramp, so that a terminal over SSH, which rarely learns of
true colour, shows exactly what was chosen. Rows are lists of segments; `say` is the only way text gets into one, and it
makes control and direction characters visible, so that no text can act on the terminal.
"""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style

Row = list[Segment]
"""One line of a panel, left to right."""

BACKGROUND = "#121212"
PLAIN = Style.parse("#c6c6c6")
BRIGHT = Style.parse("bold #eeeeee")
LABEL = Style.parse("#8a8a8a")
FAINT = Style.parse("#585858")
GRID = Style.parse("#303030")
BORDER = Style.parse("#4e4e4e")
TITLE = Style.parse("bold #afd7ff")
GOOD = Style.parse("#87d787")
WARN = Style.parse("bold #ffaf00")
BAD = Style.parse("bold #ff5f5f")
NOTE = Style.parse("#5fd7ff")
BAND = Style.parse("#5f87af")
HAZE = Style.parse("#005f87")
CURVE = Style.parse("bold #5fd7ff")
VALIDATION = Style.parse("bold #ffd75f")
BEST = Style.parse("bold #ffff87")
RATE = Style.parse("#af87ff")
NORM = Style.parse("#d7af87")
SPEED = Style.parse("#87d7af")
TRACK = Style.parse("#3a3a3a")
KEY = Style.parse("bold #ffffff on #303030")
SHUT = Style.parse("#626262")
CHIP = Style.parse("bold reverse #5fd7ff")
CHIP_GOOD = Style.parse("bold reverse #87d787")
CHIP_WARN = Style.parse("bold reverse #ffaf00")
CHIP_BAD = Style.parse("bold reverse #ff5f5f")
EXPERTS = tuple(Style.parse(colour) for colour in ("#5fafff", "#ffaf5f", "#87d787", "#d787d7"))

TONES = {"info": PLAIN, "good": GOOD, "warn": WARN, "bad": BAD}
"""Tone of a feed line -> style."""

HOSTILE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control, bidirectional, zero-width and tag characters, and lone surrogates."""


def inert(text: str) -> str:
    """`text` with each hostile character replaced by a question mark."""
    return HOSTILE.sub("?", text) if not text.isascii() or not text.isprintable() else text


def say(*parts: tuple[str, Style]) -> Row:
    """A row of (text, style) parts; empty parts vanish."""
    return [Segment(inert(text), style) for text, style in parts if text]


def cells(row: Row) -> int:
    """Width of a row in terminal cells."""
    return sum(cell_len(segment.text) for segment in row)


def clip(text: str, width: int, ellipsis: str = "~") -> str:
    """`text` in at most `width` cells, ending in an ellipsis where it was cut."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return (chop_cells(text, width - 1)[0] if width > 1 else "") + ellipsis


def pad(text: str, width: int, ellipsis: str = "~") -> str:
    """`text` in exactly `width` cells, made inert first, since that changes its width."""
    shown = clip(inert(text), width, ellipsis)
    return shown + " " * (width - cell_len(shown))


def fit(row: Row, width: int) -> Row:
    """The row in exactly `width` cells: cut or padded at the right."""
    room = width
    kept: Row = []
    for segment in row:
        size = cell_len(segment.text)
        if size > room:
            text = chop_cells(segment.text, room)[0] if room > 0 and segment.text else ""
            if room > 0:
                kept.append(Segment(text, segment.style))
                room -= cell_len(text)
            break
        kept.append(segment)
        room -= size
    if room > 0:
        kept.append(Segment(" " * room, PLAIN))
    return kept


def spread(left: Row, right: Row, width: int) -> Row:
    """`left` and `right` at the two ends; when both do not fit, `right` gives way."""
    gap = width - cells(left) - cells(right)
    if gap >= 1:
        return [*left, Segment(" " * gap, PLAIN), *right]
    return fit(left, width)


def trimmed(row: Row) -> Row:
    """The row without spaces at its end."""
    if not row:
        return row
    *head, last = row
    text = last.text.rstrip()
    return [*head, Segment(text, last.style)] if text else trimmed(head)


def wrap(text: str, width: int, style: Style, *, most: int, ellipsis: str = "~") -> list[Row]:
    """`text` broken at spaces into at most `most` rows of `width` cells."""
    lines: list[str] = []
    line = ""
    for word in inert(text.replace("\n", " ")).split():
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *pieces, line = chop_cells(word, width) if width > 0 else [""]
        lines.extend(pieces)
    if line:
        lines.append(line)
    if len(lines) > most > 0:
        lines = [*lines[: most - 1], clip(" ".join(lines[most - 1 :]), width, ellipsis)]
    return [say((line, style)) for line in lines[: max(most, 0)]]
