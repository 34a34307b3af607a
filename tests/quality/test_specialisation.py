"""Mutual information of domain and expert, and what chance alone would give."""

from __future__ import annotations

import math

import pytest
import torch

from engine.quality.specialisation import Assignments, merge, specialisation
from states.routing import mutual_information


def drawn(seed: int, lean: float, conversations: int = 60, tokens: int = 40) -> Assignments:
    """Three layers, four experts, four domains; a share `lean` of each domain's tokens goes to its own expert."""
    generator = torch.Generator().manual_seed(seed)
    domains = torch.arange(conversations) % 4
    counts = torch.zeros(3, conversations, 4, dtype=torch.int64)
    for layer in range(3):
        for one in range(conversations):
            p = torch.full((4,), (1 - lean) / 4)
            p[domains[one]] += lean
            # Conversations differ by themselves, as they do in life: tokens are not drawn independently.
            p = p * torch.rand(4, generator=generator).add(0.5)
            chosen = torch.multinomial(p, tokens, replacement=True, generator=generator)
            counts[layer, one] = torch.bincount(chosen, minlength=4)
    return Assignments(counts=counts, domains=domains)


def test_it_is_the_information_of_the_domain_table() -> None:
    made = drawn(1, lean=0.3)
    found = specialisation(made, seed=0, permutations=50)
    assert found is not None
    for layer in range(3):
        table = [made.counts[layer, made.domains == d].sum(0).tolist() for d in range(4)]
        assert found.layer_information[layer] == pytest.approx(mutual_information(table), abs=1e-12)
    assert found.information == pytest.approx(sum(found.layer_information) / 3)


def test_a_planted_structure_is_far_above_chance_and_none_is_not() -> None:
    planted = specialisation(drawn(2, lean=0.3), seed=0)
    assert planted is not None
    assert planted.permutations == 1000
    assert planted.information > 5 * planted.permuted_p99
    above = 0
    for seed in range(20):
        nothing = specialisation(drawn(seed, lean=0.0), seed=seed, permutations=200)
        assert nothing is not None
        above += nothing.information > nothing.permuted_p99
        # Its bias is why the plain number must not be read alone.
        assert nothing.permuted_mean > 0.001
    assert above <= 2


def test_conversations_are_permuted_not_tokens() -> None:
    """Two conversations a domain, each with an expert of its own: information is ln 4, and so it is by chance."""
    counts = torch.zeros(1, 4, 4, dtype=torch.int64)
    counts[0] = torch.eye(4, dtype=torch.int64) * 1000
    found = specialisation(Assignments(counts=counts, domains=torch.tensor([0, 0, 1, 1])), seed=0, permutations=100)
    assert found is not None
    assert found.information == pytest.approx(math.log(2))
    assert found.permuted_mean == pytest.approx(found.information)


def test_the_same_seed_gives_the_same_null_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    made = drawn(3, lean=0.1, conversations=20)
    first = specialisation(made, seed=5, permutations=64)
    monkeypatch.setattr("engine.quality.specialisation._CHUNK_VALUES", 4 * 20 * 7)
    assert specialisation(made, seed=5, permutations=64) == first


def test_without_two_domains_or_any_router_there_is_nothing_to_measure() -> None:
    made = drawn(4, lean=0.2, conversations=8)
    assert specialisation(Assignments(counts=made.counts, domains=torch.zeros(8, dtype=torch.int64)), seed=0) is None
    assert specialisation(Assignments(counts=made.counts[:0], domains=made.domains), seed=0) is None
    one = torch.tensor([0, -1, -1, -1, -1, -1, -1, -1])
    assert specialisation(Assignments(counts=made.counts, domains=one), seed=0) is None


def test_parts_of_one_conversation_are_added_up() -> None:
    made = drawn(5, lean=0.2, conversations=4)
    twice = merge([made, made], [7, 9, 4, 5, 7, 9, 4, 5])
    assert torch.equal(twice.counts, 2 * made.counts[:, [2, 3, 0, 1]])
    assert twice.domains.tolist() == [2, 3, 0, 1]
