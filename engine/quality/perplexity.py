"""How well the model expects what therapists said, beside its base: loss, perplexity, bits per byte, by domain.

Every target token weighs the same, whatever the batches (an average of batch averages does not; transformers 39241).
Intervals are over conversations, because the tokens of one are not independent. Bits per byte divides by the words
themselves, so it may be compared with a model of another tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data.example import NO_TARGET, Example
from engine.quality.bench import Bench
from engine.quality.findings import Cell, Check, Measure, Method, Section, Table, Verdict
from engine.quality.heldout import HeldOut
from engine.quality.intervals import resampled

TARGET_LOSS = 1.5
TARGET_PERPLEXITY = 2.5
"""What a run of the 12B configuration aims at; two targets, as exp(1.5) is 4.48."""

Numbers = NDArray[np.float64]


def perplexity(bench: Bench) -> Iterator[Section]:
    """The section, from one pass over all conversations with the trained model and one with its base."""
    table = by_conversation(bench)
    columns, domains = table[:, :4], table[:, 4].astype(int)
    seed = bench.settings.seed
    conversations = len(columns)
    loss, base_loss = _ratio(columns, 0, 2, seed), _ratio(columns, 1, 2, seed)
    bits, base_bits = (_ratio(columns, column, 3, seed, 1 / math.log(2)) for column in (0, 1))
    tuned_ppl, base_ppl = _exponential(loss), _exponential(base_loss)

    def check(name: str, title: str, unit: str, tuned: Measure, base: Measure | None, **more: Any) -> Check:
        return Check(
            id=f"perplexity.{name}",
            title=title,
            method=Method.MEASURED,
            unit=unit,
            n=conversations,
            tuned=tuned,
            base=base,
            **more,
        )

    checks = (
        check("loss", "Loss per therapist token", "nats", loss, base_loss, **_target(loss, TARGET_LOSS)),
        check("perplexity", "Perplexity", "perplexity", tuned_ppl, base_ppl, **_target(tuned_ppl, TARGET_PERPLEXITY)),
        check("bits_per_byte", "Bits per byte of therapist text", "bits/byte", bits, base_bits),
        check("gain", "Loss saved over the base", "nats", _gain(columns, seed), None),
    )
    rows = [_row(name, columns[domains == index], seed) for index, name in enumerate(bench.held.domains)]
    heads = ("domain", "n", "tokens", "base loss", "loss", "perplexity", "low", "high")
    yield Section(
        name="perplexity",
        title="Perplexity",
        caveat=_caveat(bench.held),
        checks=checks,
        tables=(
            Table(
                title="By domain",
                columns=heads,
                rows=tuple(row for row in rows if row),
                caption="n: conversations; low and high: 95% interval of the perplexity, over them",
            ),
        ),
    )


def _caveat(held: HeldOut) -> str:
    told = "Low perplexity means that the model expects such replies, not that its own are good or safe."
    if not held.trained:
        return told
    return (
        f"{held.trained:,} of the {held.of:,} conversations begin with a prompt that was trained on: there these "
        f"numbers tell memory, not ability. {told}"
    )


def by_conversation(bench: Bench) -> Numbers:
    """(conversations, 5): nats of the trained model, of the base, target tokens, bytes of the words, domain."""
    tuned, base = bench.scored, bench.base_scored
    rows: dict[int, list[float]] = {}
    for index, example in enumerate(bench.examples):
        row = rows.setdefault(example.conversation, [0.0, 0.0, 0.0, 0.0, float(example.domain_index)])
        row[0] += float(tuned.nll[index])
        row[1] += float(base.nll[index])
        row[2] += int(tuned.targets[index])
        row[3] += words_bytes(bench.tokenizer, example)
    return np.array(list(rows.values()), dtype=np.float64).reshape(-1, 5)


def words_bytes(tokenizer: Any, example: Example) -> int:
    """UTF-8 bytes of the therapist's words among an example's targets, without the tokens that end a turn."""
    labelled = example.labels != NO_TARGET
    edges = np.flatnonzero(np.diff(labelled.astype(np.int8), prepend=0, append=0))
    total = 0
    for start, stop in edges.reshape(-1, 2):
        text = tokenizer.decode(
            example.ids[start:stop].tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        total += len(str(text).strip().encode())
    return total


def _ratio(columns: Numbers, over: int, under: int, seed: int, factor: float = 1.0) -> Measure:
    """Sum over sum, with a bootstrap of the conversations."""
    value = factor * float(columns[:, over].sum() / columns[:, under].sum())
    if len(columns) < 2:
        return Measure(value=value)
    means = resampled(columns[:, [over, under]], seed=seed)
    low, high = np.quantile(factor * means[:, 0] / means[:, 1], [0.025, 0.975])
    return Measure(value=value, low=float(low), high=float(high))


def _gain(columns: Numbers, seed: int) -> Measure:
    """Base minus trained: the same conversations are drawn for both, so that what they share cancels."""
    paired = np.column_stack((columns[:, 1] - columns[:, 0], columns[:, 2]))
    return _ratio(paired, 0, 1, seed)


def _exponential(loss: Measure) -> Measure:
    low, high = (None if end is None else math.exp(min(end, 700.0)) for end in (loss.low, loss.high))
    return Measure(value=math.exp(min(loss.value, 700.0)), low=low, high=high)


def _target(found: Measure, limit: float) -> dict[str, Any]:
    verdict = Verdict.PASS if found.value < limit else Verdict.FAIL
    return {"threshold": f"below {limit}", "verdict": verdict, "note": "A target of quality; it decides nothing."}


def _row(name: str, columns: Numbers, seed: int) -> tuple[Cell, ...]:
    if not len(columns):
        return ()
    loss = _ratio(columns, 0, 2, seed)
    found = _exponential(loss)
    base = _ratio(columns, 1, 2, seed).value
    return (name, len(columns), int(columns[:, 2].sum()), base, loss.value, found.value, found.low, found.high)
