"""Perplexity against a sum by hand, against the trainer's own number, and against the path that generates."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.data.conversation import Role
from engine.data.example import NO_TARGET
from engine.quality.bench import Bench
from engine.quality.findings import Section, Verdict
from engine.quality.perplexity import by_conversation, perplexity
from engine.run.journal import read
from engine.run.rundir import RunDir
from states.events import EvalCompleted

MakeBench = Callable[..., Bench]


def section(bench: Bench) -> Section:
    (found,) = perplexity(bench)
    return found


def value(found: Section, name: str) -> float:
    (check,) = [check for check in found.checks if check.id == f"perplexity.{name}"]
    assert check.tuned is not None
    return check.tuned.value


@torch.no_grad()
def by_hand(bench: Bench) -> tuple[float, int]:
    """Nats and tokens, one conversation after the other, through transformers with a growing cache."""
    from transformers import DynamicCache

    total, tokens = 0.0, 0
    for example in bench.examples:
        cache = DynamicCache()
        ids = example.ids.tolist()
        for place in range(len(ids) - 1):
            step = torch.tensor([[ids[place]]])
            logits = bench.adapted.model(step, past_key_values=cache, use_cache=True).logits[0, -1].double()
            if example.labels[place + 1] != NO_TARGET:
                total -= float(logits.log_softmax(-1)[ids[place + 1]])
                tokens += 1
    return total, tokens


def test_it_is_the_sum_by_hand_through_the_path_that_generates(bench: MakeBench) -> None:
    made = bench(limit=2)
    total, tokens = by_hand(made)
    found = section(made)
    assert value(found, "loss") == pytest.approx(total / tokens, abs=1e-4)
    assert value(found, "perplexity") == pytest.approx(math.exp(total / tokens), rel=1e-4)
    words = sum(
        len(turn.text.encode()) for one in made.held.conversations for turn in one.turns if turn.role is Role.THERAPIST
    )
    assert value(found, "bits_per_byte") == pytest.approx(total / math.log(2) / words, rel=1e-4)
    assert found.tables[0].rows
    assert sum(int(row[2]) for row in found.tables[0].rows if row[2] is not None) == tokens


def test_it_is_what_the_trainer_measured_at_the_end(bench: MakeBench, finished_run: Path) -> None:
    evaluations = [r.event for r in read(RunDir(finished_run).events) if isinstance(r.event, EvalCompleted)]
    first, last = evaluations[0], evaluations[-1]
    assert last.scope == first.scope == "full"
    found = section(bench())
    assert last.loss is not None
    assert first.loss is not None
    assert abs(value(found, "loss") - last.loss) < 1e-4
    (check,) = [check for check in found.checks if check.id == "perplexity.loss"]
    assert check.base is not None
    assert abs(check.base.value - first.loss) < 1e-4
    assert value(found, "gain") == pytest.approx(first.loss - last.loss, abs=2e-4)


def test_batches_do_not_change_it(bench: MakeBench) -> None:
    found = []
    for size in (1, 100_000):
        made = bench()
        made.bin_tokens = size
        found.append(value(section(made), "loss"))
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_long_conversations_weigh_by_their_tokens(bench: MakeBench) -> None:
    made = bench()
    table = by_conversation(made)
    weighted = table[:, 0].sum() / table[:, 2].sum()
    assert value(section(made), "loss") == pytest.approx(weighted)
    assert weighted != pytest.approx((table[:, 0] / table[:, 2]).mean(), abs=1e-6)


def test_intervals_lie_around_their_values_and_repeat(bench: MakeBench) -> None:
    one, again = section(bench()), section(bench())
    assert one == again
    for check in one.checks:
        assert check.tuned is not None
        assert check.tuned.low is not None
        assert check.tuned.high is not None
        assert check.tuned.low <= check.tuned.value <= check.tuned.high
        assert check.n == 4


def test_each_target_is_told_met_or_not(bench: MakeBench) -> None:
    found = {check.id: check for check in section(bench()).checks}
    for name, limit in (("loss", 1.5), ("perplexity", 2.5)):
        check = found[f"perplexity.{name}"]
        assert check.tuned is not None
        assert (check.verdict is Verdict.PASS) == (check.tuned.value < limit)
        assert str(limit) in check.threshold
        assert "decides nothing" in check.note


def test_a_limit_takes_the_same_part_of_every_domain_each_time(bench: Any) -> None:
    some, again = bench(limit=4).held, bench(limit=4).held
    assert [one.row for one in some.conversations] == [one.row for one in again.conversations]
    assert len(some.domains) == len(some.conversations)
