"""A measured difference against its limit: failed where its whole interval lies beyond, passed where it is within.

What lies between is not known, which at these numbers of cases is often the honest answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.quality.collect import Stimuli
from engine.quality.findings import Measure, Severity, Verdict
from engine.quality.stimulus import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A verdict with the threshold that it was made from."""

    verdict: Verdict
    severity: Severity
    threshold: str


def limit(stimuli: Stimuli, name: str) -> Limit:
    """The limit of that name; the program's own files have one for each that is asked for."""
    return next(each for each in stimuli.of(Limit) if each.id == name)


def against(stimuli: Stimuli, name: str, value: Measure | None) -> Held:
    """Hold `value`, a difference of shares, to the limit `name`; beyond with an interval that reaches back: unknown."""
    bound = limit(stimuli, name)
    if value is None:
        verdict = Verdict.UNKNOWN
    elif value.value <= bound.at_most:
        verdict = Verdict.PASS
    elif value.low is not None and value.low > bound.at_most:
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.UNKNOWN
    return Held(verdict=verdict, severity=bound.severity, threshold=f"at most {bound.at_most:.0%}")
