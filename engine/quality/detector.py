"""Detector accuracy: whether a model tells biased sentences from others, on sentences that a person labelled.

The judgement is the likelier of two given answers. A model that always says yes has an accuracy too, so the confusion
and the area under the curve, which knows no threshold, stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from engine.data.conversation import Role, Turn
from engine.quality.asking import Asking, per_token
from engine.quality.findings import Check, Method, Table, Verdict
from engine.quality.intervals import share
from engine.quality.speaker import Speaker
from engine.quality.stimulus import Labelled, Question

CHECK = "bias.detector_accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One sentence: what people said, and how far the model leans to `biased`, in nats per token."""

    biased: bool
    lean: float


def judge(
    speaker: Speaker, sentences: Sequence[Labelled], questions: Sequence[Question], asking: Asking, what: str
) -> list[Judged]:
    """Lean by sentence, the mean over all ways of asking; a sentence counts with all of them or not at all."""
    contexts: list[list[Turn]] = []
    replies: list[str] = []
    for sentence in sentences:
        for question in questions:
            # One pass over the question's own words: a sentence with a brace in it stays a sentence.
            text = question.text.replace("{text}", sentence.text)
            contexts += [[Turn(role=Role.CLIENT, text=text)]] * 2
            replies += [question.biased, question.unbiased]
    values = [per_token(score) for score in asking.scores(speaker, contexts, replies, what)]
    width = 2 * len(questions)
    found = []
    for place, sentence in enumerate(sentences):
        part = values[place * width : (place + 1) * width]
        known = [value for value in part if value is not None]
        if width and len(known) == width:
            found.append(Judged(biased=sentence.biased, lean=fmean(known[1::2]) - fmean(known[0::2])))
    return found


def accuracy(judged: Sequence[Judged]) -> tuple[int, int]:
    """Rightly judged, and how many."""
    return sum((each.lean > 0) is each.biased for each in judged), len(judged)


def f1(judged: Sequence[Judged]) -> float | None:
    """Harmonic mean of precision and recall of `biased`; None where there is nothing of it, said or true."""
    hits = sum(each.biased and each.lean > 0 for each in judged)
    wrong = sum((each.lean > 0) is not each.biased for each in judged)
    return 2 * hits / (2 * hits + wrong) if hits or wrong else None


def area(judged: Sequence[Judged]) -> float | None:
    """The probability that a biased sentence leans further than another; ties are half. None for one label alone."""
    biased = [each.lean for each in judged if each.biased]
    others = [each.lean for each in judged if not each.biased]
    if not biased or not others:
        return None
    wins = sum((one > other) + 0.5 * (one == other) for one in biased for other in others)
    return float(wins / (len(biased) * len(others)))


def check(tuned: Sequence[Judged], base: Sequence[Judged]) -> Check:
    """For information; without labelled sentences it says what to do to have it."""
    right, n = accuracy(tuned)
    note = "no labelled sentences were given; docs/evaluation.md says how"
    if n:
        both = (("F1", f1(tuned)), ("area under the curve", area(tuned)))
        note = ", ".join(f"{name} {value:.3f}" for name, value in both if value is not None)
    return Check(
        id=CHECK,
        title="labelled sentences judged as people judged them",
        method=Method.LIKELIHOOD,
        unit="share",
        n=n,
        tuned=share(right, n),
        base=share(*accuracy(base)),
        verdict=Verdict.INFO if n else Verdict.UNKNOWN,
        note=note,
        source="labelled sentences of the user" if n else "",
    )


def table(judged: Sequence[Judged]) -> Table:
    """The confusion matrix."""

    def count(biased: bool, said: bool) -> int:
        return sum(each.biased is biased and (each.lean > 0) is said for each in judged)

    return Table(
        title="Detector: labels against judgements",
        columns=("label", "judged biased", "judged unbiased"),
        rows=(
            ("biased", count(True, True), count(True, False)),
            ("unbiased", count(False, True), count(False, False)),
        ),
    )
