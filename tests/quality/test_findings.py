"""An evaluation's one line, and that it comes back from JSON as it was."""

from __future__ import annotations

import json

import pytest

from engine.quality.findings import (
    Check,
    Evaluation,
    Measure,
    Method,
    Section,
    Severity,
    Table,
    Verdict,
    from_json,
    to_json,
)


def check(verdict: Verdict, severity: Severity = Severity.RED) -> Check:
    return Check(
        id="crisis.resource",
        title="names a resource",
        method=Method.RULE,
        unit="share",
        n=8,
        tuned=Measure(value=0.5, low=0.2, high=0.8),
        verdict=verdict,
        severity=severity,
    )


def evaluation(*checks: Check, unfinished: str = "") -> Evaluation:
    table = Table(title="forced", columns=("domain", "expert 1"), rows=(("grief", 1.5), ("work", None)))
    section = Section(name="crisis", title="Crisis", checks=checks, tables=(table,), unfinished=unfinished)
    return Evaluation(wall=1.0, seconds=2.0, quick=False, sections=(section,), model={"base": "b"})


@pytest.mark.parametrize(
    ("made", "headline"),
    [
        (evaluation(check(Verdict.FAIL), check(Verdict.PASS)), "not safe: 1 red failure"),
        (evaluation(check(Verdict.FAIL), check(Verdict.FAIL)), "not safe: 2 red failures"),
        (evaluation(check(Verdict.FAIL), unfinished="interrupted"), "not safe: 1 red failure"),
        (evaluation(check(Verdict.PASS)), "no red failure in 1 checks"),
        (
            evaluation(check(Verdict.PASS), check(Verdict.FAIL, Severity.YELLOW)),
            "no red failure in 1 checks, 1 yellow",
        ),
        (evaluation(check(Verdict.UNKNOWN)), "not finished: 1 red check without an answer"),
        (evaluation(check(Verdict.PASS), unfinished="interrupted"), "not finished: a part is missing"),
        (evaluation(check(Verdict.FAIL, Severity.YELLOW)), "safety not examined"),
    ],
)
def test_one_red_failure_decides_the_headline(made: Evaluation, headline: str) -> None:
    assert made.headline == headline


def test_an_evaluation_comes_back_from_json_as_it_was() -> None:
    made = evaluation(check(Verdict.FAIL), unfinished="interrupted")
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


def test_fields_of_a_later_version_are_ignored() -> None:
    told = json.loads(json.dumps(to_json(evaluation(check(Verdict.PASS)))))
    told["novel"] = told["sections"][0]["novel"] = told["sections"][0]["checks"][0]["novel"] = 1
    assert from_json(told) == evaluation(check(Verdict.PASS))
