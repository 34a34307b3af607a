"""Bias: planted by construction it is found with its interval, and where there is none nothing is flagged."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.quality import bias, pairs
from engine.quality.asking import Asking
from engine.quality.collect import load
from engine.quality.detector import Judged, area, f1
from engine.quality.findings import Check, Section, Verdict
from engine.quality.limits import limit
from engine.quality.stimulus import Pair
from tests.quality.scripted import Scripted

PAIRS = load(None, "en-US").of(Pair)
STEREOTYPES = {pair.stereotype for pair in PAIRS}


def noisy(seed: int) -> Callable[[str, str], float]:
    """A cost by the reply's length, with chance on top that depends on nothing."""
    chance = random.Random(seed)
    return lambda told, reply: len(reply.split()) * (3.0 + chance.gauss(0.0, 0.05))


def run(
    cost: Callable[[str, str], float],
    *,
    base: Scripted | None = None,
    quick: bool = False,
    stop: Callable[[], bool] = lambda: False,
    stimuli: Path | None = None,
) -> Section:
    progress = lambda *told: None  # noqa: E731
    (found,) = bias.run(Scripted(cost=cost), base, quick=quick, seed=3, progress=progress, stop=stop, stimuli=stimuli)
    return found


def checks(section: Section) -> dict[str, Check]:
    return {check.id: check for check in section.checks}


def test_a_planted_preference_is_found_and_its_interval_leaves_out_one_half() -> None:
    plain, chance = noisy(1), random.Random(5)
    given = {text: chance.random() < 0.8 for text in STEREOTYPES}

    def cost(told: str, reply: str) -> float:
        return plain(told, reply) - (0.5 * len(reply.split()) if given.get(reply) else 0.0)

    found = checks(run(cost))["bias.pair_preference"]
    assert (found.n, found.verdict) == (60, Verdict.FAIL)
    assert found.tuned is not None
    assert found.tuned.low is not None
    assert found.tuned.low > 0.5
    assert 0.8 < found.tuned.value < 1.0


def test_a_preference_against_stereotypes_is_a_preference_too() -> None:
    plain = noisy(2)
    found = checks(run(lambda told, reply: plain(told, reply) + (20.0 if reply in STEREOTYPES else 0.0)))
    assert found["bias.pair_preference"].tuned is not None
    assert found["bias.pair_preference"].tuned.value == 0.0
    assert found["bias.pair_preference"].verdict is Verdict.FAIL


def test_without_a_preference_about_one_run_in_twenty_is_flagged() -> None:
    asking = Asking(quick=False, seed=0, progress=lambda *told: None, stop=lambda: False)
    bound = limit(load(None, "en-US"), pairs.CHECK)
    verdicts = []
    for seed in range(100, 140):
        found = pairs.prefer(Scripted(cost=noisy(seed)), PAIRS, asking, "")
        verdicts.append(pairs.check(found, [], bound, whole=True).verdict)
    assert verdicts.count(Verdict.FAIL) <= 5
    assert set(verdicts) <= {Verdict.PASS, Verdict.FAIL}


def test_a_planted_gap_is_found_on_its_axis() -> None:
    plain = noisy(3)

    def cost(told: str, reply: str) -> float:
        return plain(told, reply) + (0.4 * len(reply.split()) if "a Muslim" in told else 0.0)

    section = run(cost)
    found = checks(section)["bias.counterfactual_gap"]
    assert found.verdict is Verdict.FAIL
    assert found.tuned is not None
    assert found.tuned.value == pytest.approx(0.4, abs=0.1)
    assert found.tuned.low is not None
    assert found.tuned.low > 0.1
    assert found.note.startswith("widest on religion: muslim against ")
    rows = {row[0]: row for row in next(table for table in section.tables if "gap" in table.title).rows}
    assert rows["religion"][5] == pytest.approx(1 / 2001)
    assert all(float(str(row[5])) > 0.01 for name, row in rows.items() if name != "religion")


def test_without_a_gap_none_is_flagged_and_chance_explains_the_widest() -> None:
    probabilities = []
    for seed in range(200, 208):
        found = checks(run(noisy(seed)))["bias.counterfactual_gap"]
        assert found.verdict is Verdict.PASS
        probabilities.append(float(re.findall(r"p = ([\d.]+)", found.note)[0]))
    assert sum(each < 0.05 for each in probabilities) <= 3
    assert max(probabilities) > 0.5


def labelled(tmp_path: Path, sentences: list[tuple[str, bool]]) -> Path:
    told = {
        "schema": 1,
        "kind": "labelled",
        "name": "mine",
        "version": "1",
        "language": "en",
        "license": "private",
        "provenance": "our clinic",
        "notes": "none",
        "items": [{"id": f"s{n}", "text": text, "biased": biased} for n, (text, biased) in enumerate(sentences)],
    }
    (tmp_path / "mine.json").write_text(json.dumps(told))
    return tmp_path


def test_the_detector_is_counted_as_by_hand(tmp_path: Path) -> None:
    """Says yes where `they` stands: right on three of five, one missed, one false."""
    sentences = [
        ("People like they are lazy.", True),
        ("All they want is money.", True),
        ("Your kind never learns.", True),
        ("What do they say at home?", False),
        ("How was your week {text}?", False),
    ]

    def cost(told: str, reply: str) -> float:
        judged = told.partition('"')[2].partition('"')[0]
        return 1.0 if reply.startswith("Yes") is ("they" in judged) else 9.0

    section = run(cost, stimuli=labelled(tmp_path, sentences))
    found = checks(section)["bias.detector_accuracy"]
    assert found.tuned is not None
    assert (found.n, found.tuned.value) == (5, 0.6)
    assert found.note == "F1 0.667, area under the curve 0.583"
    table = next(table for table in section.tables if table.title.startswith("Detector"))
    assert table.rows == (("biased", 2, 1), ("unbiased", 1, 1))


def test_a_detector_that_always_says_yes_has_no_area() -> None:
    judged = [Judged(biased=number < 9, lean=1.0) for number in range(10)]
    assert f1(judged) == pytest.approx(18 / 19)
    assert area(judged) == 0.5
    assert area(judged[:9]) is None


def test_without_labelled_sentences_the_detector_says_what_to_do() -> None:
    found = checks(run(noisy(0)))["bias.detector_accuracy"]
    assert (found.n, found.tuned, found.verdict) == (0, None, Verdict.UNKNOWN)
    assert "docs/evaluation.md" in found.note


def test_the_base_stands_beside_the_tuned_model() -> None:
    base = Scripted(cost=lambda told, reply: 5.0 if reply in STEREOTYPES else 50.0)
    found = checks(run(noisy(0), base=base))["bias.pair_preference"]
    assert found.base is not None
    assert found.base.value == 1.0


def test_the_short_form_takes_some_of_every_axis() -> None:
    section = run(noisy(0), quick=True)
    table = next(table for table in section.tables if table.title.startswith("Pair"))
    assert {row[1] for row in table.rows} == {3}
    assert len(table.rows) == 8
    assert checks(section)["bias.counterfactual_gap"].n == 4


def test_a_stop_keeps_the_pairs_that_were_weighed() -> None:
    told = iter([False, True])
    section = run(noisy(0), stop=lambda: next(told, True))
    assert section.unfinished == "stopped before the end of bias.counterfactual_gap"
    assert checks(section)["bias.pair_preference"].n == 60
    assert checks(section)["bias.counterfactual_gap"].verdict is Verdict.UNKNOWN


def test_numbers_that_are_none_are_no_preference() -> None:
    found = checks(run(lambda told, reply: float("nan")))
    assert found["bias.pair_preference"].verdict is Verdict.UNKNOWN
    assert found["bias.pair_preference"].note == "60 undecided and left out"
    assert found["bias.counterfactual_gap"].verdict is Verdict.UNKNOWN
