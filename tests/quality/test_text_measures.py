"""BLEU against sacrebleu's own command line, and counts in text on planted cases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.data.conversation import Role, Turn
from engine.data.template import Renderer
from engine.quality.coherence import coherence
from engine.quality.dialogues import Dialogues, drawn
from engine.quality.findings import Check, Measure, Section, Severity, Verdict
from engine.quality.overlap import overlap, scored
from engine.quality.speaker import Reply, Score
from engine.quality.wording import distinct, leaks_role, repetition

REPLIES = ("It sounds like a heavy night.", "Tell me about your mother, and\nabout the letters.", "I hear you .")
REFERENCES = ("It sounds like a very heavy night.", "Tell me about your\nmother and the letters.", "What did you hear?")


def said(*texts: str, ended: bool = True) -> tuple[Reply, ...]:
    return tuple(Reply(text=text, tokens=len(text.split()), ended=ended) for text in texts)


class Costs:
    """A speaker to whom a reply costs what `cost(context, reply)` says, a token each."""

    def __init__(self, cost: Callable[[str, str], float]) -> None:
        self.cost = cost

    def replies(self, contexts: Any, *, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> list[Reply]:
        raise AssertionError("nobody asked for replies")

    def scores(self, contexts: Any, replies: Any) -> list[Score]:
        return [
            Score(nll=2 * self.cost(turns[-1].text, reply), tokens=2)
            for turns, reply in zip(contexts, replies, strict=True)
        ]


@pytest.fixture
def planted(bench: Callable[..., Any]) -> Callable[..., Any]:
    """A bench whose dialogues are given, and whose speakers score by a function."""

    def make(tuned: tuple[Reply, ...], cost: Callable[[str, str], float] = lambda told, reply: 1.0) -> Any:
        made = bench()
        contexts = tuple((Turn(role=Role.CLIENT, text=f"client {number}"),) for number in range(len(tuned)))
        made.dialogues = Dialogues(
            contexts=contexts, references=REFERENCES[: len(tuned)], tuned=tuned, base=said(*REFERENCES[: len(tuned)])
        )
        made.tuned, made.base = Costs(cost), Costs(lambda told, reply: 1.0)
        return made

    return make


def checks(sections: Any) -> dict[str, Check]:
    (found,) = sections
    assert isinstance(found, Section)
    return {check.id: check for check in found.checks}


def test_bleu_and_chrf_are_what_sacrebleus_command_line_says(planted: Callable[..., Any], tmp_path: Path) -> None:
    found = checks(overlap(planted(said(*REPLIES))))
    for name, texts in (("hypothesis", REPLIES), ("reference", REFERENCES)):
        (tmp_path / name).write_text("".join(f"{' '.join(text.split())}\n" for text in texts))
    command = [sys.executable, "-m", "sacrebleu", "reference", "-i", "hypothesis", "-m", "bleu", "chrf", "-w", "6"]
    done = subprocess.run(
        [*command, "--confidence", "--confidence-n", "1000"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    told = {each["name"]: each for each in json.loads(done.stdout)}
    for name, check in (("BLEU", found["overlap.bleu"]), ("chrF2", found["overlap.chrf"])):
        assert check.tuned is not None
        assert check.tuned.value == pytest.approx(told[name]["score"], abs=1e-6)
        middle, half = float(told[name]["confidence_mean"]), float(told[name]["confidence_var"])
        assert check.tuned.low == pytest.approx(middle - half, abs=1e-5)
        assert check.tuned.high == pytest.approx(middle + half, abs=1e-5)
        assert check.source == f"sacrebleu {told[name]['signature']}"
    assert found["overlap.bleu"].base is not None
    assert found["overlap.bleu"].base.value == pytest.approx(100.0)


def test_replies_that_share_nothing_with_the_references_score_nothing(planted: Callable[..., Any]) -> None:
    found = checks(overlap(planted(said("zzz", "qqq", ""))))
    assert found["overlap.bleu"].tuned == Measure(value=0.0, low=0.0, high=0.0)
    assert found["overlap.chrf"].tuned == Measure(value=0.0, low=0.0, high=0.0)


def test_one_reply_has_a_score_and_no_interval() -> None:
    from sacrebleu.metrics import CHRF

    found, _ = scored(CHRF, ["I hear you."], ["I hear you well."])
    assert 0.0 < found.value < 100.0
    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("I hear you.\nClient: and then he left.", True),
        ("I hear you. Client: and then he left.", True),
        ("therapist : go on", True),
        ("User: hello", True),
        ("I hear you.</s>", True),
        ("I hear you. [INST] And then?", True),
        ("A client of mine once said: stay.", False),
        ("You say it plainly: I am tired.", False),
        ("", False),
    ],
)
def test_a_reply_in_anothers_name_is_told_from_one_that_speaks_of_them(
    opened: tuple[Any, Any], text: str, leaks: bool
) -> None:
    assert leaks_role(text, Renderer(opened[1], 256).plain) is leaks


def test_repetition_and_variety_are_counted_in_words() -> None:
    assert repetition("one two three four five") == 0.0
    assert repetition("go on go on go on go on") == pytest.approx(1 - 2 / 5)
    assert repetition("Go on, GO ON! go on. go on") == pytest.approx(1 - 2 / 5)
    assert repetition("one two three") is None
    assert distinct(["a b c", "a b d"]) == pytest.approx(3 / 4)
    assert distinct(["alone"]) is None


def test_each_planted_fault_is_found_by_its_measure(planted: Callable[..., Any]) -> None:
    sound = said(*REPLIES)
    good = checks(coherence(planted(sound)))
    for name in ("ended", "role_leak"):
        assert good[f"coherence.{name}"].verdict is Verdict.PASS
        assert good[f"coherence.{name}"].severity is Severity.YELLOW
    faults: dict[str, tuple[Reply, ...]] = {
        "ended": tuple(replace(reply, ended=False) for reply in sound),
        "role_leak": said("Yes.\nClient: no.", *REPLIES[1:]),
        "empty": said("", *REPLIES[1:]),
        "over_long": said("word " * 40, *REPLIES[1:]),
        "repetition": said("go on go on go on go on", *REPLIES[1:]),
    }
    for name, replies in faults.items():
        bad = checks(coherence(planted(replies)))[f"coherence.{name}"]
        before = good[f"coherence.{name}"]
        assert bad.tuned is not None
        assert before.tuned is not None
        assert bad.tuned != before.tuned, name
        if name in ("ended", "role_leak"):
            assert bad.verdict is Verdict.FAIL
    assert checks(coherence(planted(faults["role_leak"])))["coherence.role_leak"].tuned is not None
    blank = checks(coherence(planted(faults["empty"])))
    assert blank["coherence.empty"].n == len(REPLIES)
    for name in ("repetition", "own_context_gain"):
        assert blank[f"coherence.{name}"].n == good[f"coherence.{name}"].n - 1, "a blank reply is not counted there"


def test_context_gain_is_what_another_context_costs(planted: Callable[..., Any]) -> None:
    """A speaker who finds the reply to client n cheaper after client n by 0.5 nats a token."""

    def cost(told: str, reply: str) -> float:
        texts = REFERENCES if reply in REFERENCES else REPLIES
        return 1.0 if told == f"client {texts.index(reply)}" else 1.5

    found = checks(coherence(planted(said(*REPLIES), cost)))
    for name in ("context_gain", "own_context_gain"):
        check = found[f"coherence.{name}"]
        assert check.tuned is not None
        assert check.base is not None
        assert check.tuned.value == pytest.approx(0.5)
        assert check.base.value == pytest.approx(0.0)


def test_one_turn_of_each_conversation_is_answered_and_always_the_same(bench: Callable[..., Any]) -> None:
    made = bench()
    held = made.held
    first, again = (drawn(held.conversations, held.domains, 99, 7, made.renderer) for _ in range(2))
    assert first == again
    assert len(first) == len(held.conversations)
    for context, reference in first:
        assert context[-1].role is Role.CLIENT
        owners = [one for one in held.conversations if one.turns[: len(context)] == context]
        assert any(one.turns[len(context)].text == reference for one in owners)
    assert len(drawn(held.conversations, held.domains, 2, 7, made.renderer)) == 2
