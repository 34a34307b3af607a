"""What a check reports, and the ledger that turns a hundred reports of one kind into a line with a count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

KEPT_ROWS: Final = 1000
"""Rows remembered of one kind of warning; its count goes on. Errors are remembered all."""
_SHOWN_ROWS: Final = 5


class Severity(StrEnum):
    """Whether a run may start in spite of it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of trouble, whichever row it is found in."""

    code: str
    severity: Severity
    title: str
    """Plural, completes "12 x ..."; begins with a capital."""
    remedy: str
    """A whole sentence: why it matters or what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where something is wrong. Its sentence never holds a person's words."""

    kind: Kind
    row: int | None
    """None when it is true of the data set or of the tokenizer as a whole."""
    sentence: str
    place: str = ""
    """Inside the row, as in `turn 3`."""
    column: int | None = None
    """On the row's line, where the file itself is broken."""


@dataclass(slots=True, kw_only=True)
class Group:
    """All findings of one kind."""

    kind: Kind
    first: Finding
    count: int = 0
    findings: list[Finding] = field(default_factory=list)
    """All of an error, the first thousand of a warning."""

    @property
    def rows(self) -> list[int]:
        """Rows in the order they were found, each once."""
        return list(dict.fromkeys(each.row for each in self.findings if each.row is not None))

    def places(self, unit: str) -> str:
        """The first rows, as in `rows 3, 9, ...`; empty for a finding about the whole."""
        rows = self.rows
        if not rows:
            return ""
        more = ", ..." if len(rows) > _SHOWN_ROWS or self.count > len(self.findings) else ""
        return f"{unit}{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_SHOWN_ROWS]))}{more}"

    def note(self, unit: str) -> str:
        """The group as one sentence or two for a run's notes."""
        where = self.places(unit)
        if not where:
            return f"{self.first.sentence} {self.kind.remedy}"
        return f"{self.kind.title}: {self.count:,} ({where}). {self.kind.remedy}"


class Ledger:
    """Collects findings by kind, in the order the kinds first appear."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings in."""
        for finding in findings:
            group = self._groups.get(finding.kind.code)
            if group is None:
                group = self._groups[finding.kind.code] = Group(kind=finding.kind, first=finding)
            group.count += 1
            if finding.kind.severity is Severity.ERROR or len(group.findings) < KEPT_ROWS:
                group.findings.append(finding)

    @property
    def errors(self) -> list[Group]:
        """What forbids a run."""
        return [group for group in self._groups.values() if group.kind.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[Group]:
        """What a person should know before a run."""
        return [group for group in self._groups.values() if group.kind.severity is Severity.WARNING]

    def group(self, code: str) -> Group | None:
        """The findings of one kind, if there are any."""
        return self._groups.get(code)
