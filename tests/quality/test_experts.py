"""An examination measures what it says: losses under gates by decree, on a bounded part of the validation set."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from engine.data.batches import make_bins
from engine.data.example import Example
from engine.model.adapters import Adapted
from engine.model.forward import evaluate_bin
from engine.model.gates import Ablated, Forced, GateOverride, Uniform
from engine.quality.experts import examine, num_passes, sample_of
from engine.quality.specialisation import Assignments
from states.events import ExpertsExamined
from tests.quality.conftest import DOMAINS, example


def loss(adapted: Adapted, examples: list[Example], gates: GateOverride | None) -> float:
    """Mean over targets, each conversation by itself."""
    total, targets = 0.0, 0
    for one in examples:
        (alone,) = make_bins([one], 64)
        if gates is None:
            scores = evaluate_bin(adapted, alone)
        else:
            with adapted.routing.overridden(gates):
                scores = evaluate_bin(adapted, alone)
        total += float(scores.nll.sum())
        targets += int(scores.targets.sum())
    return total / targets


def study(
    adapted: Adapted, examples: list[Example], stop: Callable[[], bool] = lambda: False, **more: object
) -> ExpertsExamined:
    found = examine(adapted, examples, step=7, domains=DOMAINS, bin_tokens=64, seed=42, stop=stop, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_every_number_is_the_loss_under_those_gates(adapted: Adapted, examples: list[Example]) -> None:
    found = study(adapted, examples)
    chosen = sample_of(examples, 3, 42)
    assert found.routed == pytest.approx(loss(adapted, chosen, None), rel=1e-5)
    assert found.average == pytest.approx(loss(adapted, chosen, Uniform()), rel=1e-5)
    for expert in range(3):
        assert found.forced[expert] == pytest.approx(loss(adapted, chosen, Forced(expert)), rel=1e-5)
        assert found.ablated[expert] == pytest.approx(loss(adapted, chosen, Ablated(expert)), rel=1e-5)
        for index, name in enumerate(DOMAINS):
            mine = [one for one in chosen if one.domain_index == index]
            assert found.forced_domains[name][expert] == pytest.approx(loss(adapted, mine, Forced(expert)), rel=1e-5)
    assert len({found.routed, found.average, *found.forced, *found.ablated}) == 8


def test_it_says_how_much_it_is_over_and_costs_at_most_two_evaluations(
    adapted: Adapted, examples: list[Example]
) -> None:
    found = study(adapted, examples)
    assert found.of_conversations == 30
    assert 0 < found.conversations < 30
    assert found.tokens * num_passes(3) <= 2 * sum(one.tokens for one in examples)
    assert set(found.routed_domains) == set(DOMAINS)


def test_the_same_seed_examines_the_same_conversations(adapted: Adapted, examples: list[Example]) -> None:
    first, again = study(adapted, examples), study(adapted, examples)
    assert (first.routed, first.forced) == (again.routed, again.forced)


def test_it_leaves_no_trace_in_the_routing(adapted: Adapted, examples: list[Example]) -> None:
    usage = adapted.routing.usage.clone()
    study(adapted, examples)
    assert adapted.routing.override is None
    assert adapted.routing.sample_evaluation() is None
    assert torch.equal(adapted.routing.usage, usage)


def test_stopped_it_tells_what_is_finished_and_nothing_of_what_is_not(
    adapted: Adapted, examples: list[Example]
) -> None:
    passes: list[int] = []
    found = study(adapted, examples, stop=lambda: len(passes) == 4, progressed=passes.append)
    assert passes == [1, 2, 3, 4]
    assert found.routed is not None
    assert (found.forced, found.forced_domains, found.ablated) == ((), {}, ())
    assert examine(adapted, examples, step=1, domains=DOMAINS, bin_tokens=64, seed=1, stop=lambda: True) is None


def test_a_domain_without_conversations_in_the_sample_is_left_out(adapted: Adapted) -> None:
    found = study(adapted, [example(number, 0, 10) for number in range(12)])
    assert list(found.forced_domains) == ["anxiety"]
    assert found.mutual_information is None


def test_information_is_over_the_assignments_it_is_given(adapted: Adapted, examples: list[Example]) -> None:
    counts = torch.zeros(2, 30, 3, dtype=torch.int64)
    domains = torch.arange(30) % 3
    counts[:, torch.arange(30), domains] = 10
    found = study(adapted, examples, assignments=Assignments(counts=counts, domains=domains))
    assert found.mutual_information == pytest.approx(1.0986, abs=1e-4)
    assert found.permutations == 1000
    assert found.permuted_p99 is not None
    assert found.permuted_p99 < found.mutual_information


def test_experts_made_equal_make_routing_worth_nothing(adapted: Adapted, examples: list[Example]) -> None:
    with torch.no_grad():
        for layer in adapted.layers:
            for linear in layer.ffn.values():
                linear.lora_B.copy_(linear.lora_B[:1].expand_as(linear.lora_B))
    found = study(adapted, examples)
    assert found.average == pytest.approx(found.routed, abs=1e-6)
    assert found.forced == pytest.approx((found.routed,) * 3, abs=1e-6)
    assert min(found.layer_similarity) == pytest.approx(1.0, abs=1e-6)
