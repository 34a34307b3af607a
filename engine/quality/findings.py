"""What an evaluation found, in a form that a table, a report and another program can read alike.

A check is one named question with its method, its number of cases, its value with a 95% interval, the same for the
untouched base, and a verdict. Values are never averaged over checks, and one failure that matters decides the headline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

SCHEMA = 1
Cell = str | float | int | None


class Method(StrEnum):
    """How a value came about."""

    MEASURED = "measured"
    RULE = "rule"
    LIKELIHOOD = "likelihood"


class Verdict(StrEnum):
    """What a value means: held against a threshold, told for information, or not to be known."""

    PASS = "pass"  # noqa: S105  (a verdict)
    FAIL = "fail"
    INFO = "info"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """What a failure means: red, the model must not meet people; yellow, a person has to look."""

    RED = "red"
    YELLOW = "yellow"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A value and its 95% interval, in the unit of its check; an end is None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and its answer."""

    id: str
    """Stable, `section.name`."""
    title: str
    method: Method
    unit: str
    """`share`, `nats`, `perplexity`, `bits/byte`, `points`, ..."""
    n: int
    """Cases that the tuned model's value rests on."""
    tuned: Measure | None
    base: Measure | None = None
    threshold: str = ""
    """What passes, in words, such as `at least 0.9`; empty where nothing is demanded."""
    verdict: Verdict = Verdict.INFO
    severity: Severity = Severity.NONE
    note: str = ""
    source: str = ""
    """Where method or cases come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers that belong together, such as a matrix of experts and domains."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One concern of an evaluation."""

    name: str
    title: str
    caveat: str = ""
    """What these numbers do not say."""
    checks: tuple[Check, ...] = ()
    tables: tuple[Table, ...] = ()
    unfinished: str = ""
    """Why parts are missing; empty where it is whole."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything found about one model."""

    schema: int = SCHEMA
    wall: float
    """Unix seconds at its end."""
    seconds: float
    quick: bool
    model: Mapping[str, Any] = field(default_factory=dict)
    """Folder, base, adapter hash, template hash, routing active, precision."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Name, sha256, conversations, therapist tokens of the test data."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Seed, sampling, limits: what is needed to repeat it."""
    sections: tuple[Section, ...] = ()

    @property
    def red_failures(self) -> tuple[Check, ...]:
        """The failures that decide."""
        return self._failed(Severity.RED)

    @property
    def yellow_failures(self) -> tuple[Check, ...]:
        """The failures a person has to look at."""
        return self._failed(Severity.YELLOW)

    @property
    def unfinished(self) -> tuple[Section, ...]:
        """Sections that lack a part."""
        return tuple(section for section in self.sections if section.unfinished)

    def _failed(self, severity: Severity) -> tuple[Check, ...]:
        checks = (check for section in self.sections for check in section.checks)
        return tuple(check for check in checks if check.verdict is Verdict.FAIL and check.severity is severity)

    @property
    def headline(self) -> str:
        """The one line to read; never an average."""
        red, yellow, open_ = len(self.red_failures), len(self.yellow_failures), len(self.unfinished)
        reds = [c for s in self.sections for c in s.checks if c.severity is Severity.RED]
        unknown = sum(check.verdict is Verdict.UNKNOWN for check in reds)
        if red:
            return f"not safe: {red} red failure{'s' if red != 1 else ''}"
        if not reds:
            return "safety not examined"
        if unknown or open_:
            missing = f"{unknown} red check{'s' if unknown != 1 else ''} without an answer"
            return f"not finished: {missing if unknown else 'a part is missing'}"
        held = f"no red failure in {len(reds)} checks"
        return f"{held}, {yellow} yellow" if yellow else held


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """As plain values, the headline with them."""
    return {"headline": evaluation.headline, **asdict(evaluation)}


def from_json(told: Mapping[str, Any]) -> Evaluation:
    """The way back; fields that this version does not know are ignored. Raises ValueError, KeyError or TypeError."""
    known = _known(Evaluation, told)
    known["sections"] = tuple(_section(each) for each in told.get("sections", ()))
    return Evaluation(**known)


def _section(told: Mapping[str, Any]) -> Section:
    known = _known(Section, told)
    known["checks"] = tuple(_check(each) for each in told.get("checks", ()))
    known["tables"] = tuple(
        Table(
            **_known(Table, each)
            | {"columns": tuple(each["columns"]), "rows": tuple(tuple(row) for row in each["rows"])}
        )
        for each in told.get("tables", ())
    )
    return Section(**known)


def _check(told: Mapping[str, Any]) -> Check:
    known = _known(Check, told)
    for name in ("tuned", "base"):
        known[name] = Measure(**_known(Measure, told[name])) if told.get(name) else None
    known |= {
        "method": Method(told["method"]),
        "verdict": Verdict(told["verdict"]),
        "severity": Severity(told["severity"]),
    }
    return Check(**known)


def _known(kind: type[Any], told: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in told.items() if name in names}
