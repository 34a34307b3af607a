"""What balance and specialisation come to in training: tiny models, but trained, and judged on a validation set."""

from __future__ import annotations

import torch

from engine.model.adapters import Adapted
from engine.model.forward import evaluate_bin
from engine.model.prototypes import initialise_routers, normal_routers, recentre_routers, set_router
from engine.quality.specialisation import Assignments, Specialisation, specialisation
from tests.model.conftest import Bin, pack
from tests.model.planted import all_alike, by_domain, learner, train, validated


def skew(adapted: Adapted, packed: Bin) -> None:
    """Every token prefers expert 0 and shuns expert 3, by 1.5 in the logits along the states' common direction."""
    normal_routers(adapted, std=0.2)
    inputs: list[torch.Tensor] = []
    hooks = [
        layer.block.mlp.register_forward_pre_hook(lambda _module, args: inputs.append(args[0][0]))
        for layer in adapted.layers
    ]
    with torch.no_grad():
        adapted.model(packed.input_ids[None], position_ids=packed.position_ids[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    for layer, x in zip(adapted.layers, inputs, strict=True):
        assert layer.router is not None
        common = x.mean(0) / x.mean(0).square().sum()
        weight = layer.router.weight.detach()
        weight = weight - (weight @ x.mean(0))[:, None] * common
        set_router(layer.router, weight + torch.tensor([1.5, 0.0, 0.0, -1.5])[:, None] * common)


def test_the_balance_loss_ends_a_skew_that_stays_without_it() -> None:
    """On data that asks for no particular experts; where it does, the language loss alone would spread them.

    The weight is twenty times the default's, for it has 160 steps where a run has thousands.
    """
    made, held_out = all_alike(256, 1), pack(all_alike(48, 2))
    usage = {}
    for weight in (0.2, 0.0):
        adapted = learner(balance_weight=weight)
        skew(adapted, pack(made[:64]))
        start, _ = validated(adapted, held_out)
        assert (start[:, 0] > 0.45).all()
        assert (start[:, 3] < 0.05).all()
        train(adapted, made, 160, rate=2e-3, router_rate=2e-3, size=16)
        usage[weight], _ = validated(adapted, held_out)
    assert ((usage[0.2] >= 0.20) & (usage[0.2] <= 0.30)).all()
    assert float(usage[0.0].min()) < 0.12
    assert float(usage[0.0].max()) > 0.38


def settled(seed: int, *, recentred: bool) -> torch.Tensor:
    """Usage (layers, experts) after 48 steps on four equal domains, from prototypes."""
    made, held_out = by_domain(256, 1), pack(by_domain(96, 2))
    adapted = learner(seed=seed)
    initialise_routers(adapted, [pack(made[:128])])
    for _ in range(4):
        train(adapted, made, 12, rate=5e-3, router_rate=5e-4, size=16)
        if recentred:
            recentre_routers(adapted, [pack(made[:96])])
    usage, _ = validated(adapted, held_out)
    return usage


def test_recentred_routers_stay_in_balance_on_equal_domains_in_five_seeds() -> None:
    """Two small layers swing more than a real model's: 18 to 32% here, where the demo is held to 20 to 30%."""
    usage = torch.stack([settled(seed, recentred=True) for seed in range(1, 6)])
    assert ((usage > 0.18) & (usage < 0.32)).all()
    leaning = settled(5, recentred=False)
    assert not ((leaning > 0.18) & (leaning < 0.32)).all()


def test_unequal_domains_are_counted_as_they_are_and_no_expert_dies() -> None:
    shares = (55, 25, 15, 5)
    made, packed = by_domain(256, 1, shares), pack(by_domain(100, 2, shares))
    adapted = learner()
    initialise_routers(adapted, [pack(made[:64])])
    train(adapted, made, 60, rate=1e-2, router_rate=1e-3)
    chosen: list[torch.Tensor] = []
    for layer in adapted.layers:
        assert layer.router is not None
        layer.router.register_forward_hook(
            lambda router, x, _gates: chosen.append(router.probabilities(x[0]).topk(2).indices)
        )
    usage, sample = validated(adapted, packed)
    tokens = [sum(sum(layer) for layer in sample.layer_domains[name]) for name in "abcd"]
    assert [round(100 * n / sum(tokens)) for n in tokens] == list(shares)
    with torch.no_grad():
        adapted.model(packed.input_ids[None], position_ids=packed.position_ids[None], use_cache=False)
    own = chosen[-len(adapted.layers) :]
    for layer, picked in enumerate(own):
        assert sample.counts[layer] == tuple(torch.bincount(picked.flatten(), minlength=4).tolist())
        for domain, name in enumerate("abcd"):
            mine = picked[packed.domains == domain].flatten()
            assert sample.layer_domains[name][layer] == tuple(torch.bincount(mine, minlength=4).tolist())
    assert float(usage.min()) > 0.10


def followed(adapted: Adapted, packed: Bin) -> Specialisation:
    scores = evaluate_bin(adapted, packed)
    found = specialisation(Assignments(counts=scores.assignments, domains=scores.domains), seed=0)
    assert found is not None
    return found


def test_domains_that_need_different_mappings_get_different_experts() -> None:
    made, held_out = by_domain(256, 1), pack(by_domain(64, 2))
    adapted = learner()
    initialise_routers(adapted, [pack(made[:64])])
    train(adapted, made, 60, rate=1e-2, router_rate=1e-3)
    found = followed(adapted, held_out)
    assert found.permutations == 1000
    assert found.information > 2 * found.permuted_p99


def test_domains_that_are_mere_labels_get_none() -> None:
    made, held_out = all_alike(256, 1), pack(all_alike(64, 2))
    adapted = learner()
    initialise_routers(adapted, [pack(made[:64])])
    train(adapted, made, 40, rate=1e-2, router_rate=1e-3)
    found = followed(adapted, held_out)
    assert found.information <= found.permuted_p99
