"""What reading the file already found: rows that cannot be read, and rows and turns that were left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.formats import Dataset

UNREADABLE: Final = Kind(
    code="unreadable-row",
    severity=Severity.ERROR,
    title="Rows that cannot be read",
    remedy="Correct or remove them.",
)
NOTHING_TO_LEARN: Final = Kind(
    code="nothing-to-learn",
    severity=Severity.ERROR,
    title="Files without a therapist's answer",
    remedy="A therapist turn must follow a client turn somewhere.",
)
WITHOUT_REPLY: Final = Kind(
    code="without-reply",
    severity=Severity.WARNING,
    title="Rows left out, as no therapist turn follows a client turn",
    remedy="Nothing can be learned from them.",
)
DUPLICATE: Final = Kind(
    code="duplicate",
    severity=Severity.WARNING,
    title="Rows left out that repeat an earlier one word for word",
    remedy="Only the first of each counts.",
)
EMPTY_TURN: Final = Kind(
    code="empty-turn",
    severity=Severity.WARNING,
    title="Rows with empty turns",
    remedy="The empty turns are left out; look whether words were lost.",
)
SUSPECT_LABEL: Final = Kind(
    code="suspect-label",
    severity=Severity.WARNING,
    title="Lines that begin like a mistyped label",
    remedy="They are read as text of the turn before; correct the label if one was meant.",
)


def check_rows(dataset: Dataset) -> Iterator[Finding]:
    """Everything the scan noticed."""
    for problem in dataset.problems:
        yield Finding(kind=UNREADABLE, row=problem.row, sentence=f"{problem.what}.", column=problem.column)
    if not dataset.conversations and not dataset.problems:
        yield Finding(
            kind=NOTHING_TO_LEARN,
            row=dataset.without_reply[0] if dataset.without_reply else None,
            sentence=f"none of the {dataset.rows:,} rows has a therapist turn after a client turn.",
        )
    for row in dataset.without_reply:
        yield Finding(kind=WITHOUT_REPLY, row=row, sentence="no therapist turn follows a client turn.")
    for row in dataset.duplicates:
        yield Finding(kind=DUPLICATE, row=row, sentence="it has the same turns as an earlier row.")
    for row in dataset.with_empty:
        yield Finding(kind=EMPTY_TURN, row=row, sentence="it holds an empty turn.")
    for row, label in dataset.suspects:
        yield Finding(kind=SUSPECT_LABEL, row=row, sentence=f'a line begins with "{label}:".')
