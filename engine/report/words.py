"""Numbers, instants and foreign text as a report writes them: the same on every machine, and inert."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson

from states.text import one_line
from states.wording import number, perplexity


def instant(wall: float | None) -> str:
    """`2026-11-22 21:40:18 UTC`; never local time, which would differ from machine to machine."""
    if wall is None:
        return "unknown"
    try:
        return f"{dt.datetime.fromtimestamp(wall, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "unknown"


def clock(wall: float, opened_wall: float | None) -> str:
    """Time since the start of the run, `1:05:09`."""
    seconds = max(0, round(wall - (opened_wall if opened_wall is not None else wall)))
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def loss(value: float | None) -> str:
    """Four decimals."""
    return number(value)


def ppl(value: float | None) -> str:
    """The perplexity of a loss."""
    return number(perplexity(value), ",.2f")


def share(value: float | None, digits: int = 1) -> str:
    """A part of 1 in percent."""
    return "-" if value is None else number(100 * value, f".{digits}f") + "%"


def change(before: float | None, after: float | None) -> str:
    """By how much a number moved, `-26.7%`."""
    return "-" if not before or after is None else f"{100 * (after / before - 1):+.1f}%"


def count(value: float | None) -> str:
    """With thousands separated."""
    return number(value, ",.0f")


def plural(value: int, word: str) -> str:
    """`1 step`, `12 steps`."""
    return f"{value:,} {word}{'' if value == 1 else 's'}"


def sentence(text: str, limit: int = 300) -> str:
    """Foreign words on one line, with a stop at their end."""
    line = one_line(text, limit)
    return line if not line or line[-1] in ".!?" else f"{line}."


def unbroken(text: str) -> str:
    """The same words, never parted at the end of a line."""
    return text.replace(" ", "\u00a0")


def setting(value: Any) -> str:
    """A value of the configuration on one line, as it can be typed back."""
    if isinstance(value, str):
        return one_line(value, 160)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and value and abs(value) < 1e-3:
        return f"{value:g}"
    if isinstance(value, int | float):
        return str(value) if isinstance(value, int) else f"{value:g}"
    try:
        return one_line(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode(), 160)
    except TypeError:
        return one_line(str(value), 160)
