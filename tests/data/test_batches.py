"""Steps and bins: an epoch visits everything once, in an order that depends on the seed alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.batches import Steps, make_bins
from engine.data.example import NO_TARGET, Example
from engine.data.prepare import eval_subset
from engine.data.sampler import order


def example(length: int, domain: int = 0, row: int = 0) -> Example:
    ids = np.arange(length, dtype=np.int32) + 1000 * row
    labels = np.where(np.arange(length) % 3 == 1, ids, NO_TARGET).astype(np.int32)
    return Example(ids=ids, labels=labels, domain_index=domain, conversation=row)


ORDER_42_0 = [7, 1, 6, 4, 3, 5, 9, 0, 2, 8]
ORDER_42_1 = [4, 9, 5, 3, 0, 2, 7, 1, 6, 8]
ORDER_42_0_DOMAINS = [6, 7, 4, 1, 0, 3, 2, 5, 8, 9]

domain_lists = st.lists(st.integers(0, 3), min_size=1, max_size=120)


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000), domain_lists)
def test_an_order_is_a_permutation_and_a_pure_function(seed: int, epoch: int, domains: list[int]) -> None:
    n = len(domains)
    assert sorted(order(seed, epoch, n)) == list(range(n))
    assert sorted(order(seed, epoch, n, domains)) == list(range(n))
    assert order(seed, epoch, n, domains) == order(seed, epoch, n, domains)


def test_the_order_is_the_same_on_every_platform_and_version() -> None:
    assert order(42, 0, 10) == ORDER_42_0
    assert order(42, 1, 10) == ORDER_42_1
    assert order(42, 0, 10, [0, 1] * 5) == ORDER_42_0_DOMAINS


def test_epochs_and_seeds_differ() -> None:
    orders = [tuple(order(seed, epoch, 100)) for seed in (1, 2) for epoch in range(4)]
    assert len(set(orders)) == len(orders)


@settings(max_examples=50)
@given(st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=64, max_size=300), st.integers(8, 32))
def test_every_step_holds_each_domain_in_its_share(seed: int, domains: list[int], size: int) -> None:
    n = len(domains)
    sequence = order(seed, 0, n, domains)
    for begin in range(0, n - size + 1, size):
        for domain in set(domains):
            share = size * domains.count(domain) / n
            held = sum(domains[index] == domain for index in sequence[begin : begin + size])
            assert abs(held - share) <= 2


@given(st.integers(1, 50), st.integers(1, 12), st.integers(0, 5))
def test_an_epoch_of_steps_visits_every_example_once(n: int, size: int, seed: int) -> None:
    steps = Steps([example(3, row=row) for row in range(n)], size, seed)
    for epoch in range(2):
        first = epoch * steps.per_epoch
        groups = [steps.at(step) for step in range(first, first + steps.per_epoch)]
        assert all(len(group) == size for group in groups[:-1])
        assert 0 < len(groups[-1]) <= size
        assert sorted(each.conversation for group in groups for each in group) == list(range(n))
        assert steps.epoch(first) == epoch
    assert steps.epoch(2 * steps.per_epoch) == 2


def test_a_resumed_sampler_needs_nothing_but_the_step() -> None:
    examples = [example(3, row=row) for row in range(37)]
    walked = Steps(examples, 5, 7)
    sequence = [walked.indices(step) for step in range(40)]
    assert [Steps(examples, 5, 7).indices(step) for step in range(39, -1, -1)] == sequence[::-1]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(30, 60))
def test_bins_lay_conversations_end_to_end_with_targets_shifted_inside_each(lengths: list[int], size: int) -> None:
    examples = [example(length, domain=row % 3, row=row) for row, length in enumerate(lengths)]
    bins = make_bins(examples, size)
    assert sorted(index for each in bins for index in each.examples) == list(range(len(examples)))
    assert sum(each.targets for each in bins) == sum(each.targets for each in examples)
    for each in bins:
        assert each.tokens <= size
        assert each.starts.dtype == torch.int32
        assert each.domains.dtype == torch.int16
        assert each.input_ids.dtype == each.position_ids.dtype == each.labels.dtype == torch.int64
        assert int(each.starts[-1]) == each.tokens
        for (start, stop), index in zip(itertools.pairwise(each.starts.tolist()), each.examples, strict=True):
            source = examples[index]
            assert each.input_ids[start:stop].tolist() == source.ids.tolist()
            assert each.position_ids[start:stop].tolist() == list(range(source.tokens))
            assert each.labels[start:stop].tolist() == [*source.labels[1:].tolist(), NO_TARGET]
            assert set(each.domains[start:stop].tolist()) == {source.domain_index}
        assert each.targets == int((each.labels != NO_TARGET).sum())


def test_an_example_above_the_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="not within"):
        make_bins([example(9)], 8)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 2)), min_size=1, max_size=60), st.integers(1, 500))
def test_the_evaluation_subset_is_fixed_and_keeps_to_its_tokens(cases: list[tuple[int, int]], tokens: int) -> None:
    examples = [example(length, domain, row) for row, (length, domain) in enumerate(cases)]
    subset = eval_subset(examples, tokens, 3)
    assert len(subset) == 1 or sum(each.tokens for each in subset) <= tokens
    assert len({each.conversation for each in subset}) == len(subset) > 0
    assert [each.conversation for each in subset] == [each.conversation for each in eval_subset(examples, tokens, 3)]
    assert len(eval_subset(examples, 10**6, 3)) == len(examples)
