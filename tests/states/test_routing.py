"""Samples of experts and cards: counts become shares, curves and means."""

from __future__ import annotations

import math

import pytest

from states.events import (
    ExpertsExamined,
    ExpertsSampled,
    GpuDevice,
    GpuSampled,
    Record,
    RunRestored,
)
from states.feed import line
from states.reducer import EMPTY, fold
from states.routing import mutual_information, variation
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


def test_a_sample_names_its_extremes_and_its_spread_layer_by_layer():
    sample = ExpertsSampled(
        step=10,
        source="train",
        window_steps=10,
        counts=((25, 25, 25, 25), (10, 60, 20, 10)),
        token_entropy=(),
        balance_loss=None,
        domains={"a": (10, 0), "b": (0, 10)},
        gate_mass=((0.25, 0.25, 0.25, 0.25), (0.05, 0.75, 0.15, 0.05)),
    )
    experts = view_of(sample).experts
    assert (experts.dominant.layer, experts.dominant.expert, experts.dominant.share) == (1, 1, 0.6)
    assert (experts.weakest.layer, experts.weakest.expert, experts.weakest.share) == (1, 0, 0.1)
    assert experts.layer_entropy[0] == pytest.approx(math.log(4))
    assert experts.variation == pytest.approx((0 + 4 * math.sqrt((0.15**2 * 2 + 0.35**2 + 0.05**2) / 4)) / 2)
    assert experts.gate_mass == pytest.approx((0.15, 0.5, 0.2, 0.15))
    assert experts.layer_gate_mass == sample.gate_mass
    assert experts.information == pytest.approx(math.log(2))


def test_a_journal_without_gate_mass_is_read_as_before():
    sample = ExpertsSampled(
        step=1, source="train", window_steps=1, counts=((1, 1),), token_entropy=(), balance_loss=None, domains={}
    )
    assert view_of(sample).experts.gate_mass == ()


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (((5, 5), (5, 5)), 0.0),
        (((9, 0), (0, 9)), math.log(2)),
        (((1, 1, 0, 0), (0, 0, 1, 1)), math.log(2)),
        (((3, 3, 0, 0), (0, 3, 3, 0), (0, 0, 3, 3), (3, 0, 0, 3)), math.log(4) - math.log(2)),
        (((3, 3),), None),
        (((3, 3), (0, 0)), None),
        ((), None),
    ],
)
def test_mutual_information_of_known_tables(table, expected):
    assert mutual_information(table) == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_spread_of_usage_does_not_depend_on_its_scale():
    assert variation((1, 2, 3)) == pytest.approx(variation((0.1, 0.2, 0.3)))
    assert variation((0.25,) * 4) == 0.0


EXAMINED = ExpertsExamined(
    step=90, conversations=40, of_conversations=200, tokens=9000, targets=4000, examine_s=3.0, routed=1.25, average=1.5
)


def test_an_examination_is_kept_and_leaves_with_the_steps_it_was_about():
    view = view_of(EXAMINED)
    assert view.examination.gap == 0.25
    assert line(EMPTY, EXAMINED).text == (
        "routed 1.2500, average 1.5000: routing saves +0.2500 nats a token, over 40 of 200 conversations"
    )
    back = RunRestored(checkpoint="checkpoint-50", step=50, tokens=1, trained_s=1.0)
    assert view_of(EXAMINED, back).examination is None


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
