"""Every mark the cockpit draws with, by name: one set for terminals with Unicode, one in plain ASCII.

State is carried by marks and words, and colour only repeats it; so both sets keep the marks of a group distinct.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """One drawing set."""

    braille: bool
    """Charts are drawn with braille dots, 2 x 4 to the cell; otherwise one point to the cell."""
    horizontal: str
    vertical: str
    top_left: str
    top_right: str
    bottom_left: str
    bottom_right: str
    corner: str
    """Where the axes of a chart meet."""
    tick_y: str
    tick_x: str
    grid: str
    boundary: str
    """A vertical line through a chart: a phase boundary."""
    full: str
    heavy: str
    """The filled part of a bar, and the half cell at its end."""
    half: str
    levels: str
    """Eight partial blocks growing upwards."""
    track: str
    """The empty part of a bar."""
    hatch: str
    """The part of the window kept for Finalize."""
    target: str
    """A mark on the empty part of a bar: where the number should be."""
    passed: str
    """The same on the filled part."""
    line: str
    """The smoothed curve in charts without braille."""
    dot: str
    """A raw value in charts without braille."""
    diamond: str
    star: str
    disc: str
    ring: str
    check: str
    cross: str
    warn: str
    play: str
    pause: str
    now: str
    up: str
    down: str
    level: str
    right: str
    separator: str
    link: str
    ellipsis: str
    spinner: str


UNICODE = Glyphs(
    braille=True,
    horizontal="\N{BOX DRAWINGS LIGHT HORIZONTAL}",
    vertical="\N{BOX DRAWINGS LIGHT VERTICAL}",
    top_left="\N{BOX DRAWINGS LIGHT ARC DOWN AND RIGHT}",
    top_right="\N{BOX DRAWINGS LIGHT ARC DOWN AND LEFT}",
    bottom_left="\N{BOX DRAWINGS LIGHT ARC UP AND RIGHT}",
    bottom_right="\N{BOX DRAWINGS LIGHT ARC UP AND LEFT}",
    corner="\N{BOX DRAWINGS LIGHT UP AND RIGHT}",
    tick_y="\N{BOX DRAWINGS LIGHT VERTICAL AND LEFT}",
    tick_x="\N{BOX DRAWINGS LIGHT DOWN AND HORIZONTAL}",
    grid="\N{BOX DRAWINGS LIGHT QUADRUPLE DASH HORIZONTAL}",
    boundary="\N{BOX DRAWINGS LIGHT QUADRUPLE DASH VERTICAL}",
    full="\N{FULL BLOCK}",
    heavy="\N{BOX DRAWINGS HEAVY HORIZONTAL}",
    half="\N{BOX DRAWINGS HEAVY LEFT}",
    levels="\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588",
    track="\N{BOX DRAWINGS LIGHT HORIZONTAL}",
    hatch="\N{MEDIUM SHADE}",
    target="\N{BOX DRAWINGS LIGHT VERTICAL AND HORIZONTAL}",
    passed="\N{BOX DRAWINGS VERTICAL LIGHT AND HORIZONTAL HEAVY}",
    line="*",
    dot="\N{MIDDLE DOT}",
    diamond="\N{BLACK DIAMOND}",
    star="\N{BLACK STAR}",
    disc="\N{BLACK CIRCLE}",
    ring="\N{WHITE CIRCLE}",
    check="\N{CHECK MARK}",
    cross="\N{MULTIPLICATION X}",
    warn="\N{BLACK UP-POINTING TRIANGLE}",
    play="\N{BLACK RIGHT-POINTING TRIANGLE}",
    pause="\N{DOUBLE VERTICAL LINE}",
    now="\N{BLACK UP-POINTING SMALL TRIANGLE}",
    up="\N{BLACK UP-POINTING SMALL TRIANGLE}",
    down="\N{BLACK DOWN-POINTING SMALL TRIANGLE}",
    level="\N{MIDDLE DOT}",
    right="\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    separator="\N{MIDDLE DOT}",
    link="\N{BOX DRAWINGS LIGHT HORIZONTAL}",
    ellipsis="\N{HORIZONTAL ELLIPSIS}",
    spinner="\u280b\u2819\u2839\u2838\u283c\u2834\u2826\u2827\u2807\u280f",
)

ASCII = Glyphs(
    braille=False,
    horizontal="-",
    vertical="|",
    top_left="+",
    top_right="+",
    bottom_left="+",
    bottom_right="+",
    corner="+",
    tick_y="+",
    tick_x="+",
    grid=" ",
    boundary=":",
    full="#",
    heavy="=",
    half="-",
    levels="__..--==",
    track=".",
    hatch="%",
    target="|",
    passed="#",
    line="*",
    dot=".",
    diamond="o",
    star="@",
    disc="*",
    ring="o",
    check="+",
    cross="x",
    warn="!",
    play=">",
    pause="=",
    now="^",
    up="^",
    down="v",
    level="-",
    right=">",
    separator="-",
    link="-",
    ellipsis="~",
    spinner="|/-\\",
)


def choose(environ: Mapping[str, str], encoding: str | None) -> Glyphs:
    """ASCII where the terminal cannot show braille: the Linux console, a locale without UTF-8, or `STINT_ASCII` set."""
    if environ.get("STINT_ASCII") or environ.get("TERM") in {"linux", "vt100", "vt220", "dumb"}:
        return ASCII
    try:
        name = codecs.lookup(encoding or "ascii").name
    except LookupError:
        return ASCII
    return UNICODE if name == "utf-8" else ASCII
