"""Bins laid some steps ahead are those that laying them on the spot gives, whatever is asked for."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
import torch

from engine.data.ahead import AHEAD, Ahead
from engine.data.batches import Bin, Steps, make_bins
from engine.data.example import Example

FIELDS = ("input_ids", "position_ids", "labels", "starts", "domains")


@pytest.fixture
def steps() -> Steps:
    chance = np.random.default_rng(3)
    examples = [
        Example(ids=ids, labels=ids, domain_index=index % 4, conversation=index)
        for index, ids in enumerate(chance.integers(1, 99, size=size).astype(np.int32) for size in range(3, 25))
    ]
    return Steps(examples, 5, seed=7)


def same(first: Bin, second: Bin) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in FIELDS)


# Of five steps an epoch: over its end, after a resume, past some, back, and with smaller bins after memory ran out.
@pytest.mark.parametrize(
    "asked",
    [
        [(step, 40) for step in range(3 * AHEAD)],
        [(7, 40), (8, 40)],
        [(3, 40), (6, 40), (7, 40)],
        [(3, 40), (1, 40), (2, 40)],
        [(2, 60), (3, 60), (3, 30), (4, 30)],
    ],
)
def test_bins_laid_ahead_are_those_of_the_step(steps, asked) -> None:
    ahead = Ahead(steps)
    for step, bin_tokens in asked:
        found, wanted = ahead.bins(step, bin_tokens), make_bins(steps.at(step), bin_tokens)
        assert len(found) == len(wanted)
        assert all(map(same, found, wanted))


def test_the_next_step_is_laid_by_another_thread(steps, monkeypatch) -> None:
    laid: list[tuple[int, bool]] = []
    at = steps.at

    def told(step: int) -> list[Example]:
        laid.append((step, threading.current_thread() is threading.main_thread()))
        return at(step)

    monkeypatch.setattr(steps, "at", told)
    ahead = Ahead(steps)
    for step in range(2 * AHEAD):
        ahead.bins(step, 40)
    assert laid[: 2 * AHEAD] == [(0, True), *((step, False) for step in range(1, 2 * AHEAD))]


def test_what_cannot_be_laid_is_raised_where_it_is_asked_for(steps, monkeypatch) -> None:
    at = steps.at
    monkeypatch.setattr(steps, "at", lambda step: at(step) if step != 1 else 1 / 0)
    ahead = Ahead(steps)
    ahead.bins(0, 40)
    with pytest.raises(ZeroDivisionError):
        ahead.bins(1, 40)
    assert same(ahead.bins(2, 40)[0], make_bins(at(2), 40)[0])


def test_the_thread_ends_with_the_trainer_that_it_worked_for(steps) -> None:
    ahead = Ahead(steps)
    ahead.bins(0, 40)
    thread, gone = ahead._thread, weakref.ref(ahead)
    assert thread is not None
    del ahead
    gc.collect()
    assert gone() is None
    thread.join(5.0)
    assert not thread.is_alive()
