"""The document prepared for a page: charts drawn, small figures gathered in rows; still plain text everywhere."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.report.document import Block, Cell, Figure, Report, Section, Table
from engine.report.plots.draw import draw
from engine.report.plots.theme import Theme

SHORT = 31
"""Letters of a text column that is given just the room it needs."""
LINE = 100
"""Letters of a line of a table."""
GAP = 3
"""Letters between two columns."""
MONO = 1.25
"""How much wider letters of one width are."""


def prepared(report: Report, theme: Theme, *, both: bool) -> dict[str, Any]:
    """Return the report as plain values, each figure with its `svg`; `both` adds `narrow`, for a phone."""
    return {
        "title": report.title,
        "subtitle": report.subtitle,
        "verdict": asdict(report.verdict),
        "sections": [_section(each, theme, both=both) for each in report.sections],
    }


def _section(section: Section, theme: Theme, *, both: bool) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    for block in section.blocks:
        told = _block(block, theme, both=both)
        if isinstance(block, Figure) and not block.wide:
            if blocks and blocks[-1]["kind"] == "gallery":
                blocks[-1]["figures"].append(told)
                continue
            told = {"kind": "gallery", "figures": [told]}
        blocks.append(told)
    return {"id": section.id, "title": section.title, "lead": section.lead, "blocks": blocks}


def _block(block: Block, theme: Theme, *, both: bool) -> dict[str, Any]:
    if isinstance(block, Figure):
        drawn = draw(block.chart, theme, wide=block.wide, label=block.title)
        narrow = draw(block.chart, theme, wide=False, label=block.title) if both and block.wide else ""
        return {
            "kind": "figure", "title": block.title, "caption": block.caption, "wide": block.wide, "svg": drawn,
            "narrow": narrow,
        }  # fmt: skip
    if isinstance(block, Table):
        return {**asdict(block), "right": list(block.right), "widths": _widths(block)}
    return asdict(block)


def _widths(table: Table) -> list[int]:
    """For each column 0 where it takes what it needs, else its weight in sharing the room that is left.

    A table of zeros is no wider than what is in it.
    """
    longest = [
        max([float(len(name)), *(_length(row, index) for row in table.rows)])
        for index, name in enumerate(table.columns)
    ]
    flexible = [index not in table.right and letters > SHORT for index, letters in enumerate(longest)]
    words = [index for index in range(len(longest)) if index not in table.right]
    if not any(flexible) and words and sum(longest) + GAP * len(longest) > LINE:
        flexible[max(words, key=longest.__getitem__)] = True
    return [min(60, round(letters)) if flex else 0 for letters, flex in zip(longest, flexible, strict=True)]


def _length(row: tuple[Cell, ...], index: int) -> float:
    if index >= len(row):
        return 0.0
    return len(row[index].text) * (MONO if row[index].mono else 1.0)
