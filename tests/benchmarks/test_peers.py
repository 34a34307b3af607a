"""Every contender of the comparison trains on the same tokens, to the same losses, in as many steps."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import peer_loops
import peer_stint
import peer_trainers
import peers
import pytest
import torch
from held import Held
from peer_gate import Gate, Pass
from peer_work import Work, lengths, make, read

PASSES = 2
pytestmark = pytest.mark.filterwarnings("ignore")  # What peers warn of is theirs to mend.


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    make(folder, "hidden-128", conversations=8, per_step=4, micro=2, rate=1e-3, cap=320)
    return folder


@pytest.fixture(scope="module")
def work(place: Path) -> Work:
    return read(place)


@pytest.fixture(scope="module")
def plain(place: Path, work: Work) -> list[dict[str, Any]]:
    return passes(lambda gate: peer_loops.run(work, place, gate, each=False))


def passes(run: Any, orders: tuple[str, ...] = ("run",) * PASSES) -> list[dict[str, Any]]:
    answers = io.StringIO()
    gate = Gate(answers, io.StringIO("".join(f"{order}\n" for order in orders)))
    run(gate)
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert told[0]["ready"]
    return told[1:]


def losses(found: list[dict[str, Any]]) -> list[float]:
    return [loss for one in found for loss in one["losses"]]


def assert_equal_work(found: list[dict[str, Any]], work: Work) -> None:
    assert len(found) == PASSES
    assert not peers.unequal({"it": found[0], "again": found[1]}, work)


@pytest.mark.parametrize("name", ["stint", "stint-reference"])
def test_stint_and_a_bare_loop_go_through_the_same_losses(
    name: str, place: Path, work: Work, plain: list[dict[str, Any]]
) -> None:
    found = passes(lambda gate: peer_stint.run(work, place, gate, name=name))
    assert_equal_work(found, work)
    assert_equal_work(plain, work)
    assert losses(found) == pytest.approx(losses(plain), rel=1e-4)
    assert losses(found)[0] != pytest.approx(losses(found)[-1], rel=1e-4), "nothing was learned"


def test_four_experts_train_on_the_same_tokens(place: Path, work: Work, plain: list[dict[str, Any]]) -> None:
    found = passes(lambda gate: peer_stint.run(work, place, gate, name="stint-experts"))
    assert_equal_work(found, work)
    # Every B is zero at the start, so experts change nothing of the first loss.
    assert losses(found)[0] == pytest.approx(losses(plain)[0], rel=1e-5)


def test_one_conversation_at_a_time_is_the_same_work_without_padding(
    place: Path, work: Work, plain: list[dict[str, Any]]
) -> None:
    found = passes(lambda gate: peer_loops.run(work, place, gate, each=True))
    assert_equal_work(found, work)
    assert found[0]["computed"] == found[0]["useful"] < plain[0]["computed"]
    assert losses(found) == pytest.approx(losses(plain), rel=1e-4)


@pytest.mark.parametrize("name", ["hf-padded", "hf-flattened", "hf-each"])
def test_trainers_batches_go_through_the_same_losses(
    name: str, place: Path, work: Work, plain: list[dict[str, Any]]
) -> None:
    found = passes(lambda gate: peer_trainers.run(work, place, gate, name=name))
    assert_equal_work(found, work)
    assert losses(found) == pytest.approx(losses(plain), rel=1e-4)


def test_trl_packs_the_same_tokens_without_attending_across(
    place: Path, work: Work, plain: list[dict[str, Any]]
) -> None:
    pytest.importorskip("trl", reason="TRL is not installed; it comes with .[bench]")
    still = replace(work, rate=0.0)
    (found,) = passes(lambda gate: peer_trainers.run(still, place, gate, name="trl-packed-best"), orders=("run",))
    (wanted,) = passes(lambda gate: peer_loops.run(still, place, gate, each=True), orders=("run",))
    assert not peers.unequal({"trl": found}, work)
    assert found["computed"] == found["useful"]
    # It chooses which conversations meet, so a step is another; all of them together are the same.
    assert peers.mean_loss(found) == pytest.approx(peers.mean_loss(wanted), rel=1e-5)


def test_memory_is_counted_when_it_is_asked_for(place: Path, work: Work) -> None:
    few = replace(work, conversations=work.conversations[:2], per_step=2)
    (fast,) = passes(lambda gate: peer_stint.run(few, place, gate, name="stint"), orders=("measure",))
    (bare,) = passes(lambda gate: peer_loops.run(few, place, gate, each=False), orders=("measure",))
    assert 0 < fast["kept_bytes"] <= bare["kept_bytes"] / 2
    assert fast["kept_bytes"] < 10 * fast["peak_bytes"]


def test_what_autograd_holds_is_counted_once_and_given_back() -> None:
    weight = torch.ones(4, 4, requires_grad=True)
    x = torch.ones(8, 4, requires_grad=True)
    with Held({weight.untyped_storage().data_ptr()}) as held:
        for _ in range(2):
            y = x * x
            (y @ weight * y).sum().backward()
    # x once, x * x once, the product once, in each of two passes; the weight never.
    assert held.kept == 2 * 3 * x.numel() * 4


def test_work_that_is_missing_is_named(work: Work) -> None:
    done = {"useful": work.tokens - 5, "targets": [work.targets], "losses": [1.0] * work.num_steps}
    assert peers.unequal({"peer": done}, work) == [f"peer: {work.tokens - 5} tokens, not {work.tokens}"]


def test_a_steps_mean_gathers_its_micro_batches() -> None:
    done = Pass()
    for step, loss in ((0, 1.0), (0, 0.5), (1, 2.0)):
        done.add(step, loss, 3)
    assert done.losses == [1.5, 2.0]
    assert done.targets == [6, 3]


def test_lengths_are_log_normal_with_the_jobs_mean() -> None:
    found = lengths(1000, 2048)
    assert min(found) == 50
    assert max(found) == 2048
    assert 470 < sum(found) / len(found) < 500


def test_rounds_that_only_one_of_two_ran_do_not_count() -> None:
    rounds = [{"stint": 30.0, "hf-padded": 10.0}, {"stint": 99.0}, {"stint": 20.0, "hf-padded": 10.0}]
    assert peers.paired(rounds, "stint", "hf-padded") == [3.0, 2.0]
    assert peers.ratios(rounds)["stint"]["hf-padded"][0] == 2.5
