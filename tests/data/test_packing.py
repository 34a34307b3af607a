"""Packing: few bins of balanced size, never one above the capacity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.batches import make_bins
from engine.data.example import NO_TARGET, Example
from engine.data.packing import pack

items = st.integers(1, 100).flatmap(
    lambda capacity: st.tuples(st.lists(st.integers(1, capacity), max_size=40), st.just(capacity))
)
few_items = st.integers(1, 40).flatmap(
    lambda capacity: st.tuples(st.lists(st.integers(1, capacity), max_size=8), st.just(capacity))
)

small_items = st.integers(4, 4096).flatmap(
    lambda capacity: st.tuples(st.lists(st.integers(1, capacity // 4), min_size=1, max_size=80), st.just(capacity))
)


def bound(lengths: list[int], capacity: int) -> int:
    return -(-sum(lengths) // capacity) + 1


def optimum(lengths: list[int], capacity: int) -> int:
    """The fewest bins, by trying everything."""
    best = len(lengths)

    def place(index: int, loads: tuple[int, ...]) -> None:
        nonlocal best
        if len(loads) >= best:
            return
        if index == len(lengths):
            best = len(loads)
            return
        for at, load in enumerate(loads):
            if load not in loads[:at] and load + lengths[index] <= capacity:
                place(index + 1, (*loads[:at], load + lengths[index], *loads[at + 1 :]))
        place(index + 1, (*loads, lengths[index]))

    place(0, ())
    return best


@given(items)
def test_each_item_is_in_one_bin_and_no_bin_is_too_full(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    bins = pack(lengths, capacity)
    assert sorted(index for each in bins for index in each) == list(range(len(lengths)))
    assert all(each and sum(lengths[index] for index in each) <= capacity for each in bins)
    assert pack(lengths, capacity) == bins


@settings(max_examples=300)
@given(few_items)
def test_the_bound_holds_wherever_any_packing_reaches_it(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    assert len(pack(lengths, capacity)) <= max(bound(lengths, capacity), optimum(lengths, capacity))


@settings(max_examples=300)
@given(st.lists(st.integers(1, 2048), min_size=1, max_size=64))
def test_items_of_a_quarter_bin_at_most_keep_the_bound(lengths: list[int]) -> None:
    assert len(pack(lengths, 8192)) <= bound(lengths, 8192)


@given(st.lists(st.integers(1, 512), min_size=16, max_size=64))
def test_bins_are_nearly_equal(lengths: list[int]) -> None:
    loads = [sum(lengths[index] for index in each) for each in pack(lengths, 8192)]
    assert max(loads) - min(loads) <= max(lengths)


@settings(max_examples=300)
@given(small_items)
def test_where_no_conversation_exceeds_a_quarter_bin_the_smallest_bin_is_60_percent_of_the_largest(
    case: tuple[list[int], int],
) -> None:
    lengths, capacity = case
    loads = [sum(lengths[index] for index in each) for each in pack(lengths, capacity)]
    assert min(loads) >= 0.6 * max(loads)
    assert len(loads) <= bound(lengths, capacity)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 128), min_size=1, max_size=40))
def test_bins_hold_the_tokens_of_their_conversations_and_no_padding(lengths: list[int]) -> None:
    chance = np.random.default_rng(len(lengths))
    examples = []
    for number, length in enumerate(lengths):
        ids = chance.integers(1, 1000, size=length).astype(np.int32)
        labels = np.where(chance.random(length) < 0.5, ids, NO_TARGET).astype(np.int32)
        examples.append(Example(ids=ids, labels=labels, domain_index=0, conversation=number))
    bins = make_bins(examples, 512)
    assert len(bins) <= bound(lengths, 512)
    assert sum(one.tokens for one in bins) == sum(lengths)
    assert sum(one.targets for one in bins) == sum(example.targets for example in examples)
    for one in bins:
        assert int(one.starts[-1]) == one.tokens <= 512
        laid = np.concatenate([examples[index].ids for index in one.examples])
        assert torch.equal(one.input_ids, torch.from_numpy(laid.astype(np.int64)))


def test_the_bound_is_out_of_reach_where_no_two_items_share_a_bin() -> None:
    assert len(pack([5] * 10, 8)) == 10 > bound([5] * 10, 8)


def test_bins_are_filled_to_the_brim_where_equal_loads_do_not_fit() -> None:
    assert pack([3, 3, 2, 2, 2], 6) == [[0, 1], [2, 3, 4]]


def test_an_item_above_the_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="length 9 of item 1"):
        pack([8, 9], 8)
    assert pack([], 8) == []
