"""The report as data: a verdict, sections of blocks, recommendations. report.json is this, and the pages show it.

All text in it is plain. Whoever renders it escapes it; nothing in it is ever markup of any language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from engine.report.chart import Chart

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One number of the verdict strip."""

    label: str
    value: str
    note: str = ""
    tone: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The first thing read: how the run ended and why, in one line, and what that means in a sentence or two."""

    tone: str
    """good, warn or bad."""
    headline: str
    why: str
    tiles: tuple[Tile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table; `tone` colours it, `mono` is for names of settings and values."""

    text: str
    tone: str = ""
    strong: bool = False
    mono: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table. Columns named in `right` hold numbers; `rows` are as long as `columns`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: tuple[int, ...] = ()
    title: str = ""
    caption: str = ""
    kind: str = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Names and values side by side."""

    rows: tuple[tuple[str, str], ...]
    title: str = ""
    kind: str = "pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart with its title; `wide` ones take the whole line, the others stand two in a row where there is room."""

    title: str
    chart: Chart
    caption: str = ""
    wide: bool = False
    kind: str = "figure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A paragraph; with a tone it stands out."""

    text: str
    tone: str = ""
    kind: str = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bullets:
    """Sentences, one below the other."""

    items: tuple[str, ...]
    title: str = ""
    kind: str = "bullets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting to change for the next run: `section.key` or an option, its value, and a better one."""

    setting: str
    now: str
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One recommendation: the rule that fired, the number that fired it, and what to change."""

    rule: str
    tone: str
    title: str
    evidence: str
    """The number and what it is held against, in words."""
    value: float | None
    """The number itself; None where the rule is about something that is missing."""
    limit: float | None
    advice: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Advices:
    """The recommendations in their order."""

    items: tuple[Advice, ...]
    kind: str = "advices"


Block: TypeAlias = Table | Pairs | Figure | Notice | Bullets | Advices


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A chapter."""

    id: str
    title: str
    lead: str = ""
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole document."""

    title: str
    subtitle: str
    verdict: Verdict
    sections: tuple[Section, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)
    """The numbers that a script asks for, flat."""
    schema: int = SCHEMA


def dump(report: Report) -> bytes:
    """report.json, byte for byte the same for the same report."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(report, option=option)
