"""The reports of the dataset commands as lines for people and as JSON for scripts; never a word of a conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.data.checks.finding import Finding, Group
from engine.data.validating import Report


def validation_lines(report: Report) -> Iterator[str]:
    """Errors one by one, warnings by kind, then where the rows went."""
    errors, warnings = report.ledger.errors, report.ledger.warnings
    for group in errors:
        yield f"error {group.kind.code}: {group.kind.title} ({group.count:,}). {group.kind.remedy}"
        for finding in group.findings:
            yield f"    {_where(report, finding)}{finding.sentence}"
    for group in warnings:
        yield f"warning {group.kind.code}: {_title(report, group)}. {group.kind.remedy}"
        yield f"    {_where(report, group.first)}{group.first.sentence}"
    for sentence in report.unchecked:
        yield f"note: {sentence}"
    if report.waterfall:
        yield " -> ".join(f"{stage.name} {stage.count:,}" for stage in report.waterfall)
    found = sum(group.count for group in errors)
    kinds = len(warnings)
    yield (
        f"{_number(found, 'error')}, {_number(sum(group.count for group in warnings), 'warning')} of "
        f"{_number(kinds, 'kind')}."
    )


def validation_json(report: Report) -> dict[str, Any]:
    """The same as one object."""
    return {
        "ok": report.ok,
        "sha256": report.dataset.digest if report.dataset else None,
        "unit": report.unit,
        "errors": [_fact(report, finding) for group in report.ledger.errors for finding in group.findings],
        "warnings": [
            {
                "code": group.kind.code,
                "title": group.kind.title,
                "remedy": group.kind.remedy,
                "count": group.count,
                "rows": group.rows,
                "first": _fact(report, group.first),
            }
            for group in report.ledger.warnings
        ],
        "waterfall": {stage.name: stage.count for stage in report.waterfall},
        "unchecked": report.unchecked,
    }


def _fact(report: Report, finding: Finding) -> dict[str, Any]:
    place = report.place(finding)
    return {
        "code": finding.kind.code,
        "row": finding.row,
        "line": place[0] if place else None,
        "column": place[1] if place else None,
        "place": finding.place,
        "what": finding.sentence,
    }


def _where(report: Report, finding: Finding) -> str:
    """`row 12 (14:3), turn 2: `, as much of it as is known."""
    if finding.row is None:
        return ""
    place = report.place(finding)
    position = f" ({place[0]}:{place[1]})" if place else ""
    inside = f", {finding.place}" if finding.place else ""
    return f"{report.unit} {finding.row}{position}{inside}: "


def _title(report: Report, group: Group) -> str:
    places = group.places(report.unit)
    return f"{group.kind.title}: {group.count:,} ({places})" if places else group.kind.title


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
