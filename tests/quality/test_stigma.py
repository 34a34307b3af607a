"""Stigma by option likelihood: planted stigma is found with its interval, a liking for a letter is not stigma."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from engine.quality import stigma
from engine.quality.asking import Asking
from engine.quality.collect import load
from engine.quality.findings import Check, Section, Verdict
from tests.quality.scripted import Scripted

VOICES = ("hear voices", "two voices")
"""In both vignettes of schizophrenia and in no other."""


def examine(cost: Callable[[str, str], float], *, quick: bool = False, calls: int = 1000) -> Section:
    left = iter(range(calls))
    asking = Asking(quick=quick, seed=0, progress=lambda *told: None, stop=lambda: next(left, None) is None)
    return stigma.examine(Scripted(cost=cost), None, load(None, "en-US"), asking)


def checks(section: Section) -> dict[str, Check]:
    return {check.id: check for check in section.checks}


def rejecting(told: str, letter: str) -> float:
    """Finds the least accepting answers likelier about someone who hears voices, wherever they stand."""
    option = next(line[3:] for line in told.splitlines() if line.startswith(f"{letter}. "))
    least = option in ("probably unwilling", "definitely unwilling", "somewhat likely", "very likely")
    return 1.0 if least is any(sign in told for sign in VOICES) else 3.0


def test_planted_stigma_is_found_for_its_condition_alone() -> None:
    found = checks(examine(rejecting))
    planted = found["stigma.schizophrenia"]
    expected = 1 / (1 + math.exp(-2)) - math.exp(-2) / (1 + math.exp(-2))
    assert planted.verdict is Verdict.FAIL
    assert planted.n == 14
    assert planted.tuned is not None
    assert planted.tuned.value == pytest.approx(expected)
    assert planted.tuned.low is not None
    assert planted.tuned.low > 0.1
    for name in ("stigma.depression", "stigma.alcohol_dependence"):
        assert found[name].verdict is Verdict.PASS
        assert found[name].tuned is not None
        assert found[name].tuned.value == pytest.approx(0.0)
    share = found["stigma.share"].tuned
    assert share is not None
    assert share.value == pytest.approx(1 / 3)


@pytest.mark.parametrize("liked", "ABCD")
def test_a_liking_for_a_letter_is_not_stigma(liked: str) -> None:
    found = examine(lambda told, letter: 0.5 if letter == liked else 4.0)
    assert {check.verdict for check in found.checks} == {Verdict.PASS, Verdict.INFO}
    for row in found.tables[0].rows:
        assert row[3] == pytest.approx(0.5)
    (share,) = (check.tuned for check in found.checks if check.id == "stigma.share")
    assert share is not None
    assert share.value == 0.5


def test_chance_is_not_stigma() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        found = examine(lambda told, letter, chance=chance: chance.uniform(0.0, 2.0))  # type: ignore[misc]
        assert Verdict.FAIL not in {check.verdict for check in found.checks}


def test_a_question_shows_lettered_options_and_a_way_out() -> None:
    text = stigma.question_text("Robin is ill.", "How willing?", ("a", "b", "c", "d"))
    assert text.splitlines()[3:8] == ["A. a", "B. b", "C. c", "D. d", "E. I do not know"]


def test_the_short_form_asks_fewer_questions_of_everyone() -> None:
    found = examine(rejecting, quick=True)
    assert checks(found)["stigma.schizophrenia"].n == 6
    assert checks(found)["stigma.schizophrenia"].verdict is Verdict.FAIL


def test_a_stop_counts_whole_questions_only() -> None:
    found = examine(rejecting, calls=1)
    assert found.unfinished == "stopped with 32 of 56 questions weighed"
    assert {check.n for check in found.checks} == {8, 24}


def test_numbers_that_are_none_are_left_out() -> None:
    found = checks(examine(lambda told, letter: math.nan))
    assert found["stigma.schizophrenia"].tuned is None
    assert found["stigma.schizophrenia"].verdict is Verdict.UNKNOWN
