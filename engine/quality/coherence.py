"""Whether replies hold together: named measures, each with its unit, and no mark made of them.

Context gain asks what a reply has to do with its conversation: how much less likely it is after another client's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from engine.data.conversation import Turn
from engine.quality.bench import Bench
from engine.quality.dialogues import Dialogues
from engine.quality.findings import Cell, Check, Measure, Method, Section, Severity, Table, Verdict
from engine.quality.intervals import mean, resampled, share
from engine.quality.speaker import Reply, Speaker
from engine.quality.wording import distinct, leaks_role, repetition, words

ENDED = 0.9
LEAKED = 0.02
GAIN_CASES = 48
"""Replies that context gain is over; each is read four times."""

Test = Callable[[Reply], bool]
Pair = tuple[Measure | None, Measure | None]
"""Of the trained model, and of its base."""


def coherence(bench: Bench) -> Iterator[Section]:
    """The section, over the generated replies."""
    said, renderer = bench.dialogues, bench.renderer
    longest = max(len(words(reference)) for reference in said.references)
    seed = bench.settings.seed

    def rate(name: str, title: str, test: Test, note: str = "") -> Check:
        tuned, base = (share(sum(map(test, replies)), len(replies)) for replies in (said.tuned, said.base))
        return _check(name, title, "share", len(said.tuned), (tuned, base), note)

    ended = rate("ended", "Ends its turn itself", lambda reply: reply.ended)
    leaked = rate(
        "role_leak",
        "Goes on in another's name",
        lambda reply: leaks_role(reply.text, renderer.plain),
        "A speaker's label such as `Client:`, or a control token of the template.",
    )
    repeated = _both(said, lambda replies: _average([repetition(reply.text) for reply in replies], seed))
    lengths = _both(said, lambda replies: _length(replies, said.references, seed))
    varied = _both(said, lambda replies: _value(distinct([reply.text for reply in replies])))
    speakers = ((bench.tuned, said.tuned), (bench.base, said.base))
    found: list[Measure | None] = []
    bench.progress("context gain", 0, 4)
    for speaker, replies in speakers:
        found.append(_gain(bench, speaker, said.contexts, said.references))
        bench.progress("context gain", len(found), 4)
        found.append(_own(bench, speaker, said.contexts, replies))
        bench.progress("context gain", len(found), 4)
    gain, own, base_gain, base_own = found
    count = len(said.tuned)
    spoken = sum(bool(reply.text) for reply in said.tuned)
    long = sum(repetition(reply.text) is not None for reply in said.tuned)
    checks = (
        _held(ended, f"at least {ENDED:.0%}", ended.tuned is not None and ended.tuned.value >= ENDED),
        _held(leaked, f"at most {LEAKED:.0%}", leaked.tuned is not None and leaked.tuned.value <= LEAKED),
        rate("empty", "Says nothing", lambda reply: not reply.text),
        rate(
            "over_long",
            "Longer than any therapist's reply",
            lambda reply: len(words(reply.text)) > longest,
            f"More than {longest} words, the longest reference.",
        ),
        _check("repetition", "Repeats its own word sequences", "share", long, repeated, "4-grams seen before."),
        _check("distinct", "Different word pairs over all replies", "share", count, varied),
        _check("length", "Length beside the therapist's", "ratio", count, lengths, "Words over words."),
        _check(
            "context_gain",
            "The therapist's reply is likelier in its context",
            "nats",
            min(count, GAIN_CASES),
            (gain, base_gain),
            "Per token: after another client's words, minus after its own.",
        ),
        _check(
            "own_context_gain",
            "Its own reply is likelier in its context",
            "nats",
            min(spoken, GAIN_CASES),
            (own, base_own),
            "Near 0: it would have said the same to anybody.",
        ),
    )
    yield Section(
        name="coherence",
        title="Coherence of replies",
        caveat="Greedy replies to held-out clients, one a conversation. None of these measures reads for sense.",
        checks=checks,
        tables=(_beside(said.references, said.tuned, said.base),),
    )


def _both(said: Dialogues, count: Callable[[Sequence[Reply]], Measure | None]) -> Pair:
    return count(said.tuned), count(said.base)


def _check(name: str, title: str, unit: str, n: int, found: Pair, note: str = "") -> Check:
    method = Method.LIKELIHOOD if "gain" in name else Method.MEASURED
    tuned, base = found
    return Check(id=f"coherence.{name}", title=title, method=method, unit=unit, n=n, tuned=tuned, base=base, note=note)


def _held(check: Check, threshold: str, held: bool) -> Check:
    """The same check held against a threshold; to miss it asks for a person's eyes."""
    verdict = Verdict.PASS if held else Verdict.FAIL
    return replace(check, threshold=threshold, verdict=verdict, severity=Severity.YELLOW)


def _average(values: Sequence[float | None], seed: int) -> Measure | None:
    return mean([value for value in values if value is not None], seed=seed)


def _value(value: float | None) -> Measure | None:
    return None if value is None else Measure(value=value)


def _length(replies: Sequence[Reply], references: Sequence[str], seed: int) -> Measure:
    table = np.array(
        [(len(words(one.text)), max(1, len(words(other)))) for one, other in zip(replies, references, strict=True)],
        dtype=np.float64,
    )
    value = float(table[:, 0].sum() / table[:, 1].sum())
    if len(table) < 2:
        return Measure(value=value)
    drawn = resampled(table, seed=seed)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return Measure(value=value, low=float(low), high=float(high))


def _own(
    bench: Bench, speaker: Speaker, contexts: Sequence[Sequence[Turn]], replies: Sequence[Reply]
) -> Measure | None:
    """Of a model's own replies, by itself."""
    spoken = [(context, reply.text) for context, reply in zip(contexts, replies, strict=True) if reply.text]
    return _gain(bench, speaker, [context for context, _ in spoken], [text for _, text in spoken])


def _gain(bench: Bench, speaker: Speaker, contexts: Sequence[Sequence[Turn]], replies: Sequence[str]) -> Measure | None:
    """Nats per token that a reply loses after another context: each is given its neighbour's in drawn order."""
    contexts, replies = contexts[:GAIN_CASES], replies[:GAIN_CASES]
    if len(contexts) < 2:
        return None
    shuffled = [*contexts[1:], contexts[0]]
    true, other = speaker.scores(contexts, replies), speaker.scores(shuffled, replies)
    pairs = zip(true, other, strict=True)
    return mean([(there.nll - here.nll) / here.tokens for here, there in pairs], seed=bench.settings.seed)


def _beside(references: Sequence[str], tuned: Sequence[Reply], base: Sequence[Reply]) -> Table:
    """The same counts of the therapists' own words, which the models' may be read against."""
    columns = ([reply.text for reply in base], [reply.text for reply in tuned], list(references))

    def row(name: str, count: Callable[[list[str]], Cell]) -> tuple[Cell, ...]:
        return (name, *(count(texts) for texts in columns))

    def repeated(texts: list[str]) -> float | None:
        found = [value for value in map(repetition, texts) if value is not None]
        return sum(found) / len(found) if found else None

    return Table(
        title="Beside the therapists' words",
        columns=("", "base", "trained", "therapists"),
        rows=(
            row("words a reply", lambda texts: sum(len(words(text)) for text in texts) / len(texts)),
            row("repeated 4-grams", repeated),
            row("different word pairs", distinct),
        ),
    )
