"""Samples of experts and cards: counts become shares, curves and means."""

from __future__ import annotations

import math

import pytest

from states.events import (
    ExpertsSampled,
    GpuDevice,
    GpuSampled,
    Record,
)
from states.reducer import fold
from states.view import RunView


def journal(*events, start=0):
    return [Record(seq=n, wall=1000.0 + n, mono=float(n), event=event) for n, event in enumerate(events, start)]


def view_of(*events) -> RunView:
    return fold(journal(*events))


def test_routing_is_shown_as_shares_and_entropy():
    view = view_of(
        ExpertsSampled(
            step=10,
            source="train",
            window_steps=10,
            counts=((1, 1, 1, 1), (4, 0, 0, 0), (0, 0, 0, 0)),
            token_entropy=(1.0, None, 0.5),
            balance_loss=1.25,
            domains={"grief": (3, 1, 0, 0), "none": (0, 0, 0, 0)},
        )
    )
    experts = view.experts
    assert experts.layer_shares == ((0.25,) * 4, (1.0, 0.0, 0.0, 0.0))
    assert experts.shares == (0.625, 0.125, 0.125, 0.125)
    assert experts.entropy == pytest.approx(math.log(4) / 2)
    assert (experts.token_entropy, experts.balance_loss) == (0.75, 1.25)
    assert experts.domains == {"grief": (0.75, 0.25, 0.0, 0.0)}
    assert [series.last.mean for series in view.expert_shares] == [0.625, 0.125, 0.125, 0.125]
    assert view.routing_entropy.last.mean == experts.entropy


def test_evaluation_routing_has_its_own_place():
    sample = ExpertsSampled(
        step=1, source="eval", window_steps=1, counts=((1, 1),), token_entropy=(), balance_loss=None, domains={}
    )
    view = view_of(sample)
    assert view.eval_experts.shares == (0.5, 0.5)
    assert view.experts is None
    assert view.expert_shares == ()


def test_several_cards_are_averaged_and_a_silent_one_is_left_out():
    def card(index, utilisation):
        return GpuDevice(index=index, uuid="u", name="n", memory_used=1, memory_total=2, utilisation=utilisation)

    view = view_of(
        GpuSampled(devices=(card(0, 80.0), card(1, 40.0), card(2, None))), GpuSampled(devices=(card(0, None),))
    )
    assert [bucket.mean for bucket in view.gpu_utilisation.buckets] == [60.0]
    assert view.gpus == (card(0, None),)
