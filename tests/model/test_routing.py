"""Counting and balancing are exact: however a step is cut, and whether or not activations are computed twice."""

from __future__ import annotations

import pytest
import torch

from engine.model.adapters import Adapted
from engine.model.forward import evaluate_bin, forward_loss, valid_tokens
from engine.model.gates import Uniform
from engine.model.recompute import enable_recompute
from engine.model.routing import Balance
from engine.model.tally import Layout
from engine.model.typed import apply
from tests.model.conftest import conversations, pack


def cut(parts: int) -> list:
    made = conversations(16)
    size = len(made) // parts
    return [pack(made[i : i + size]) for i in range(0, len(made), size)]


def train(adapted: Adapted, bins: list, *, ramp: float = 1.0) -> tuple[float, dict[str, torch.Tensor]]:
    for parameter in adapted.parameters().values():
        parameter.grad = None
    targets = sum(one.targets for one in bins)
    adapted.routing.begin_step(sum(valid_tokens(one) for one in bins), ramp=ramp)
    total = 0.0
    for one in bins:
        loss = forward_loss(adapted, one, scale=1 / targets)
        loss.backward()
        total += float(loss.detach())
    return total, {name: p.grad.clone() for name, p in adapted.parameters().items()}


def skewed(adapted: Adapted) -> Adapted:
    adapted.routing.usage.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    return adapted


@pytest.mark.parametrize("parts", [2, 8])
@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_a_step_cut_into_bins_has_the_loss_and_gradients_of_one_bin(build, experts: str, parts: int) -> None:
    adapted = skewed(build(double=True, experts=experts, balance_weight=0.5))
    loss, gradients = train(adapted, cut(1))
    other, pieces = train(adapted, cut(parts))
    assert other == pytest.approx(loss, rel=1e-12)
    for name, gradient in gradients.items():
        assert (gradient - pieces[name]).abs().max() <= 1e-12 * max(1.0, float(gradient.abs().max())), name


def test_the_balance_gradient_is_that_of_the_written_loss(build) -> None:
    """Sum over layers of weight * ramp * E * sum_e F_e mean_t p_te, formed explicitly, has the injected gradient."""
    adapted = skewed(build(double=True, balance_weight=0.5))
    packed = cut(1)[0]
    _, without = train(adapted, [packed], ramp=0.0)
    _, injected = train(adapted, [packed], ramp=0.25)
    inputs: list[torch.Tensor] = []
    hooks = [
        layer.block.mlp.register_forward_pre_hook(lambda _m, args: inputs.append(args[0])) for layer in adapted.layers
    ]
    for parameter in adapted.parameters().values():
        parameter.grad = None
    adapted.routing.begin_step(1, ramp=0.0)
    with adapted.compute.on_reference():  # only there are modules, and so hooks, called
        loss = forward_loss(adapted, packed) * 0.0
    for layer, x in zip(adapted.layers, inputs, strict=True):
        p = layer.router.probabilities(x[0])
        loss = loss + 0.5 * 0.25 * 4 * (adapted.routing.usage[layer.index].double() * p.mean(0)).sum()
    loss.backward()
    for hook in hooks:
        hook.remove()
    for name, p in adapted.parameters().items():
        # The norms of transformers compute in float32 whatever the model's dtype: no closer than that.
        assert (injected[name] - without[name] - p.grad).abs().max() < 1e-6 * p.grad.abs().max() + 1e-12, name
    assert (injected["layers.0.router.weight"] - without["layers.0.router.weight"]).abs().max() > 1e-5


def test_the_injection_passes_gradients_through_and_adds_a_constant() -> None:
    p = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(4, dtype=torch.float64)
    row, book = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: apply(Balance, x, zero, None, row, book), (p,))
    pull = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    valid = torch.tensor([True, True, False, True, True])
    (apply(Balance, p, pull, valid, row, book.zero_()) * 2).sum().backward()
    assert torch.equal(p.grad, 2 + pull * valid[:, None])
    assert torch.equal(book, row)


@pytest.mark.parametrize("recompute", [False, True])
def test_counts_are_exact_with_and_without_recompute(build, recompute: bool) -> None:
    adapted = build()
    bins = cut(4)
    for one in bins:  # the truth, from evaluation mode one bin at a time
        evaluate_bin(adapted, one)
    truth = adapted.routing.sample_evaluation()
    if recompute:
        enable_recompute(adapted)
    adapted.routing.begin_step(sum(valid_tokens(one) for one in bins))
    # All forwards before any backward: a recomputation must still find the bin it belongs to.
    losses = [forward_loss(adapted, one) for one in bins]
    sum(losses).backward()
    adapted.routing.end_step()
    sample = adapted.routing.sample()
    assert sample == truth
    assert sample.tokens == sum(valid_tokens(one) for one in bins)
    assert all(sum(layer) == 2 * sample.tokens for layer in sample.counts)
    assert adapted.routing.sample() is None


def test_recompute_changes_no_gradient(build) -> None:
    plain, again = (skewed(build(balance_weight=0.5)) for _ in "12")
    enable_recompute(again)
    loss, gradients = train(plain, cut(2))
    other, recomputed = train(again, cut(2))
    assert loss == other
    assert all(torch.equal(gradients[name], recomputed[name]) for name in gradients)


def test_counts_by_domain_and_entropy_are_what_the_router_did(build) -> None:
    adapted = build()
    packed = cut(1)[0]
    inputs: list[torch.Tensor] = []
    adapted.layers[1].block.mlp.register_forward_pre_hook(lambda _m, args: inputs.append(args[0][0]))
    with adapted.compute.on_reference():  # only there are modules, and so hooks, called
        evaluate_bin(adapted, packed)
    sample = adapted.routing.sample_evaluation()
    p = adapted.layers[1].router.probabilities(inputs[0])
    chosen = p.topk(2, dim=-1).indices
    for domain, name in enumerate(("anxiety", "grief", "work")):
        mine = chosen[packed.domains == domain]
        assert sample.layer_domains[name][1] == tuple(torch.bincount(mine.flatten(), minlength=4).tolist())
        assert sample.domains[name] == tuple(map(sum, zip(*sample.layer_domains[name], strict=True)))
    assert sample.counts[1] == tuple(torch.bincount(chosen.flatten(), minlength=4).tolist())
    assert sample.token_entropy[1] == pytest.approx(float(torch.special.entr(p).sum(-1).mean().detach()), rel=1e-6)


def test_gate_mass_is_the_mean_gate_of_each_expert(build) -> None:
    adapted = build()
    packed = pack(conversations(8), padding=5)
    inputs: list[torch.Tensor] = []
    router = adapted.layers[1].router
    router.register_forward_hook(lambda _m, _args, gates: inputs.append(gates))
    with adapted.compute.on_reference():  # only there are modules, and so hooks, called
        evaluate_bin(adapted, packed)
    sample = adapted.routing.sample_evaluation()
    expected = inputs[0][: valid_tokens(packed)].double().mean(0)
    assert sample.gate_mass[1] == pytest.approx(expected.tolist(), abs=1e-7)
    assert sum(sample.gate_mass[0]) == pytest.approx(1.0)


def test_assignments_by_conversation_are_those_of_each_alone_and_add_up(build) -> None:
    adapted = build()
    made = conversations(6)
    scores = evaluate_bin(adapted, pack(made, padding=4))
    sample = adapted.routing.sample_evaluation()
    assert scores.assignments.shape == (2, 6, 4)
    assert torch.equal(scores.assignments.sum(1), torch.tensor(sample.counts))
    assert scores.assignments[0].sum(-1).tolist() == [2 * len(one.ids) for one in made]
    alone = evaluate_bin(adapted, pack([made[3]]))
    assert torch.equal(scores.assignments[:, 3], alone.assignments[:, 0])


def test_gates_by_decree_assign_nothing(build) -> None:
    adapted = build()
    with adapted.routing.overridden(Uniform()):
        scores = evaluate_bin(adapted, pack(conversations(3)))
    assert not scores.assignments.any()
    assert adapted.routing.sample_evaluation() is None


def test_usage_moves_once_a_step_by_the_steps_own_counts(build) -> None:
    adapted = build(usage_decay=0.9)
    routing = adapted.routing
    assert torch.equal(routing.usage, torch.full((2, 4), 0.25))
    train(adapted, cut(2))
    assert torch.equal(routing.usage, torch.full((2, 4), 0.25))
    routing.end_step()
    counts = torch.tensor(routing.sample().counts, dtype=torch.float32)
    expected = 0.9 * 0.25 + 0.1 * counts / counts.sum(-1, keepdim=True)
    assert torch.allclose(routing.usage, expected, atol=1e-7)
    assert torch.allclose(routing.usage.sum(-1), torch.ones(2))


def test_a_rejected_step_leaves_no_trace(build) -> None:
    adapted = build()
    train(adapted, cut(2))
    adapted.routing.discard_step()
    assert torch.equal(adapted.routing.usage, torch.full((2, 4), 0.25))
    assert adapted.routing.sample() is None


def test_a_window_adds_up_its_steps(build) -> None:
    adapted = build()
    samples = []
    for parts in (1, 2):
        train(adapted, cut(parts))
        adapted.routing.end_step()
        samples.append(adapted.routing.sample())
    for _ in range(2):
        train(adapted, cut(1))
        adapted.routing.end_step()
    both = adapted.routing.sample()
    assert both.tokens == 2 * samples[0].tokens
    assert both.counts == tuple(tuple(2 * n for n in row) for row in samples[0].counts)
    assert both.balance_loss == pytest.approx(samples[0].balance_loss)


def test_evaluation_leaves_training_counts_and_usage_alone(build) -> None:
    adapted = build()
    evaluate_bin(adapted, cut(1)[0])
    assert adapted.routing.sample() is None
    assert torch.equal(adapted.routing.usage, torch.full((2, 4), 0.25))
    assert adapted.routing.sample_evaluation() is not None


def test_usage_survives_a_round_trip_and_the_wrong_shape_is_refused(build) -> None:
    adapted, other = build(), build()
    train(adapted, cut(1))
    adapted.routing.end_step()
    other.routing.load_state(adapted.routing.state())
    assert torch.equal(other.routing.usage, adapted.routing.usage)
    with pytest.raises(ValueError, match="usage is"):
        other.routing.load_state({"usage": torch.zeros(3, 4)})


def test_a_model_without_experts_steps_through_all_of_it_with_nothing_to_count(build) -> None:
    adapted = build(mode="lora")
    loss, gradients = train(adapted, cut(2))
    adapted.routing.end_step()
    assert loss > 0
    assert gradients
    assert adapted.routing.sample() is None
    assert adapted.routing.sample_evaluation() is None


def test_a_domain_that_was_not_trained_on_counts_as_none() -> None:
    layout = Layout(num_layers=1, num_experts=4, domains=("a", "b"))
    p = torch.rand(5, 4).softmax(-1)
    strange, none = torch.tensor([0, 1, 2, 3, 9]), torch.tensor([0, 1, -1, -1, -1])
    assert torch.equal(layout.row(p, 2, strange, None), layout.row(p, 2, none, None))
    assert torch.allclose(layout.membership(strange, None).row(p, 2), layout.membership(none, None).row(p, 2))
