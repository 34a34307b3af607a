"""An evaluation as text for a page: the headline first, a table a section, what the numbers do not say."""

from __future__ import annotations

from collections.abc import Sequence

from engine.quality.cells import cell_text, interval_text, value_text, verdict_text
from engine.quality.findings import Check, Evaluation, Section, Table, Verdict
from states.text import one_line
from states.wording import duration

_SPECIAL = frozenset("\\`*_[]<>|&$~#")
_HEADS = ("check", "base", "trained", "95% interval", "n", "wanted", "verdict", "method")


def markdown(evaluation: Evaluation) -> str:
    """The whole of it. Names and notes may come from data, so nothing in them is markup."""
    lines = [f"# Evaluation: {plain(evaluation.headline)}", ""]
    facts = [("model", evaluation.model), ("data", evaluation.data), ("settings", evaluation.settings)]
    for title, told in facts:
        if told:
            lines.append(f"- {title}: " + ", ".join(f"{plain(name)} {plain(str(told[name]))}" for name in told))
    how = "the short model validation" if evaluation.quick else "the whole evaluation"
    lines += [f"- {how}, {duration(evaluation.seconds)}", ""]
    for section in evaluation.sections:
        lines += _section(section)
    lines += [f"**{plain(evaluation.headline)}**", ""]
    return "\n".join(lines)


def plain(text: str, limit: int = 2000) -> str:
    """Foreign text on one line, nothing of it markup."""
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in one_line(text, limit))


def _section(section: Section) -> list[str]:
    lines = [f"## {plain(section.title)}", ""]
    if section.unfinished:
        lines += [f"Not finished: {plain(section.unfinished)}.", ""]
    if section.checks:
        rows = [
            (
                check.title,
                value_text(check.base, check.unit),
                value_text(check.tuned, check.unit),
                interval_text(check.tuned, check.unit),
                f"{check.n:,}",
                check.threshold,
                verdict_text(check),
                check.method,
            )
            for check in section.checks
        ]
        lines += _table(_HEADS, rows)
        remarks = [(check, _remark(check)) for check in section.checks]
        lines += [f"- {plain(check.title)}: {plain(remark)}" for check, remark in remarks if remark]
        lines.append("")
    for table in section.tables:
        lines += _titled(table)
    if section.caveat:
        lines += [plain(section.caveat), ""]
    return lines


def _remark(check: Check) -> str:
    """What the row of a check has no room for: why it failed, its note, where it comes from."""
    failed = check.verdict is Verdict.FAIL
    parts = (
        f"{verdict_text(check)}, wanted {check.threshold}" if failed else "",
        check.note.rstrip("."),
        f"Source: {check.source}" if check.source else "",
    )
    return ". ".join(part for part in parts if part)


def _titled(table: Table) -> list[str]:
    rows = [tuple(cell_text(value) for value in row) for row in table.rows]
    caption = [plain(table.caption), ""] if table.caption else []
    return [f"### {plain(table.title)}", "", *_table(table.columns, rows), *caption]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells are foreign; an empty head is a blank, which some readers want."""
    lines = [heads, ["---"] * len(heads), *rows]
    made = [
        f"| {' | '.join(cell if number == 1 else plain(cell) for cell in row)} |" for number, row in enumerate(lines)
    ]
    return [*made, ""]
