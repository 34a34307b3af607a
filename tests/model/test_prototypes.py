"""Routers start where domains differ: deterministic, never zero, blind to what all tokens share."""

from __future__ import annotations

import pytest
import torch

from engine.model.adapters import Adapted, attach
from engine.model.kmeans import kmeans
from engine.model.prototypes import choose, initialise_routers, normal_routers, recentre_routers, set_router
from engine.model.spec import AdapterSpec
from tests.model.conftest import Conversation, pack, tiny


def themed(domains: int, each: int = 6, labelled: bool = True) -> list[Conversation]:
    """Conversations whose words come from a range of their domain's own."""
    generator = torch.Generator().manual_seed(5)
    made = []
    for index in range(domains * each):
        theme = index % domains
        ids = torch.randint(8 + theme * 20, 28 + theme * 20, (12,), generator=generator).tolist()
        made.append(Conversation(ids=tuple(ids), masked=2, domain=theme if labelled else -1))
    return made


def fresh(**choices: object) -> Adapted:
    return attach(tiny("mistral"), AdapterSpec(rank=4, **choices))


def inputs(adapted: Adapted, packed) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    hooks = [la.block.mlp.register_forward_pre_hook(lambda _m, args: seen.append(args[0][0])) for la in adapted.layers]
    with torch.no_grad():
        adapted.model.model(packed.input_ids[None], position_ids=packed.position_ids[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return seen


def routers(adapted: Adapted) -> list[torch.Tensor]:
    return [layer.router.weight.detach() for layer in adapted.layers]


def test_prototypes_are_deterministic_and_independent_of_how_bins_are_cut() -> None:
    made = themed(4)
    first, again, cut = fresh(), fresh(), fresh()
    initialise_routers(first, [pack(made)])
    initialise_routers(again, [pack(made)])
    initialise_routers(cut, [pack(made[:7]), pack(made[7:], padding=3)])
    for one, two, three in zip(routers(first), routers(again), routers(cut), strict=True):
        assert torch.equal(one, two)
        assert torch.allclose(one, three, atol=1e-4)


@pytest.mark.parametrize("labelled", [True, False])
def test_prototypes_are_not_zero_and_blind_to_the_common_direction_with_logits_of_deviation_one(labelled: bool) -> None:
    adapted, packed = fresh(), pack(themed(4, labelled=labelled))
    start = initialise_routers(adapted, [packed])
    assert (start.method, start.conversations, start.note) == ("domains" if labelled else "clusters", 24, "")
    for weight, x in zip(routers(adapted), inputs(adapted, packed), strict=True):
        assert weight.norm(dim=1).min() > 1e-3
        common = torch.nn.functional.normalize(x.mean(0), dim=0)
        assert (weight @ common).abs().max() < 1e-4 * weight.norm(dim=1).min()
        logits = x @ weight.t()
        assert logits.mean(0).abs().max() < 1e-4
        assert float(logits.square().mean().sqrt()) == pytest.approx(1.0, abs=1e-3)
        assert torch.allclose(weight.norm(dim=1), weight.norm(dim=1)[:1], rtol=1e-4)


def test_labelled_domains_prefer_experts_of_their_own() -> None:
    adapted, packed = fresh(domains=("a", "b", "c", "d")), pack(themed(4))
    initialise_routers(adapted, [packed])
    for layer, x in zip(adapted.layers, inputs(adapted, packed), strict=True):
        p = layer.router.probabilities(x)
        mean = torch.stack([p[packed.domains == domain].mean(0) for domain in range(4)])
        assert mean.argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("domains", [2, 6])
def test_more_or_fewer_domains_than_experts_become_clusters(domains: int) -> None:
    adapted = fresh()
    assert initialise_routers(adapted, [pack(themed(domains))]).method == "clusters"
    assert all(weight.norm(dim=1).min() > 1e-3 for weight in routers(adapted))


def test_unlabelled_conversations_beside_enough_domains_are_left_out() -> None:
    labelled, mixed = fresh(), fresh()
    initialise_routers(labelled, [pack(themed(4))])
    start = initialise_routers(mixed, [pack([*themed(4), *themed(3, labelled=False)])])
    assert start.method == "domains"


def test_too_few_or_identical_conversations_fall_back_to_random_routers_and_say_so() -> None:
    few, alike, normal = fresh(), fresh(), fresh()
    normal_routers(normal)
    one = themed(1)[0]
    for adapted, made, reason in ((few, themed(3, each=1), "too few"), (alike, [one] * 8, "too alike")):
        start = initialise_routers(adapted, [pack(made)])
        assert start.method == "normal"
        assert reason in start.note
        assert all(torch.equal(a, b) for a, b in zip(routers(adapted), routers(normal), strict=True))


def test_random_routers_have_the_named_spread() -> None:
    adapted = fresh()
    assert not any(weight.any() for weight in routers(adapted))
    normal_routers(adapted)
    assert float(torch.cat(routers(adapted)).std()) == pytest.approx(0.02, rel=0.15)


def test_a_zero_or_infinite_router_is_refused() -> None:
    router = fresh().layers[0].router
    for wrong in (torch.zeros(4, 32), torch.full((4, 32), torch.inf)):
        with pytest.raises(ValueError, match="zero or not finite"):
            set_router(router, wrong)


def test_recentring_ends_a_lean_of_all_tokens_and_leaves_the_rest_of_a_router() -> None:
    adapted, packed = fresh(), pack(themed(4))
    initialise_routers(adapted, [packed])
    # What adapters do when they fit a base to new text: every hidden state moves the same way.
    with torch.no_grad():
        adapted.model.model.embed_tokens.weight.add_(torch.randn(32, generator=torch.Generator().manual_seed(3)))
    before, seen = routers(adapted), inputs(adapted, packed)
    leans = [(x @ weight.t()).mean(0).abs().max() for weight, x in zip(before, seen, strict=True)]
    assert min(leans) > 0.05
    assert recentre_routers(adapted, [packed]) == pytest.approx(float(max(leans)), rel=1e-3)
    for old, weight, x in zip(before, routers(adapted), seen, strict=True):
        common = torch.nn.functional.normalize(x.mean(0), dim=0)
        assert (x @ weight.t()).mean(0).abs().max() < 1e-4
        assert torch.allclose(weight, old - (old @ common)[:, None] * common, atol=1e-5)


def test_a_router_of_nothing_but_the_common_direction_is_left_alone() -> None:
    adapted, packed = fresh(), pack(themed(4))
    initialise_routers(adapted, [packed])
    layer = adapted.layers[0]
    common = inputs(adapted, packed)[0].mean(0)
    set_router(layer.router, torch.stack([common] * 4))
    recentre_routers(adapted, [packed])
    assert torch.allclose(layer.router.weight, torch.stack([common] * 4))
    assert recentre_routers(fresh(mode="lora"), [packed]) == 0.0


def test_the_chosen_conversations_are_seeded_and_balanced() -> None:
    domains = [0] * 50 + [1] * 3 + [-1] * 20
    chosen = choose(domains, 8, seed=1)
    assert chosen == choose(domains, 8, seed=1)
    assert chosen != choose(domains, 8, seed=2)
    assert [sum(domains[i] == d for i in chosen) for d in (0, 1, -1)] == [8, 3, 8]


def test_plain_lora_has_nothing_to_start() -> None:
    assert initialise_routers(fresh(mode="lora"), [pack(themed(4))]).method == "normal"


def test_kmeans_finds_separated_groups_and_leaves_no_cluster_empty() -> None:
    torch.manual_seed(0)
    truth = torch.arange(40) % 4
    points = torch.eye(8)[truth] * 10 + torch.randn(40, 8) * 0.1
    found = kmeans(points, 4, seed=3)
    assert torch.equal(found, kmeans(points, 4, seed=3))
    for group in range(4):
        assert found[truth == group].unique().shape[0] == 1
    assert kmeans(torch.zeros(5, 3), 4, seed=0).unique().shape[0] == 4
    with pytest.raises(ValueError, match="cannot make"):
        kmeans(points[:3], 4, seed=0)
