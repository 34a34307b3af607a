"""Alarms about the routing: each crossing rings once, with a number and a remedy, and says when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from states.alarms import LEAST_ASSIGNMENTS, REMEDIES, Limits, Watch
from states.events import ExpertsAlarmed, ExpertsSampled, LogOpened, Record
from states.feed import line
from states.reducer import EMPTY, fold

EVEN = (250, 250, 250, 250)


def sample(*layers, step=10, source="train", gate_mass=()):
    return ExpertsSampled(
        step=step,
        source=source,
        window_steps=10,
        counts=layers,
        token_entropy=(),
        balance_loss=None,
        domains={},
        gate_mass=gate_mass,
    )


def told(*samples):
    """What each sample rings."""
    watch, rung = Watch(), []
    for each in samples:
        watch, alarms = watch.after(each)
        rung.append([(a.rule, a.layer, a.raised) for a in alarms])
    return rung


def test_four_experts_have_the_documents_limits():
    limits = Limits(num_experts=4)
    assert (limits.dominant, limits.starved, limits.collapse, limits.uneven) == pytest.approx((0.5, 0.05, 0.5, 1.30))
    # Half of the tokens is what each of two experts should have: no alarm may ring there.
    assert Limits(num_experts=2).dominant > 0.6


def test_balanced_experts_ring_nothing():
    assert told(sample(EVEN, EVEN), sample((200, 300, 220, 280), EVEN)) == [[], []]


def test_a_layer_that_stays_bad_rings_though_the_mean_over_layers_is_fine():
    bad = sample(EVEN, EVEN, EVEN, EVEN, (570, 200, 200, 30))
    first, second = told(bad, bad)
    assert first == [], "one window may swing"
    assert ("dominant", 4, True) in second
    assert ("starved", 4, True) in second
    assert not any(layer is None for _, layer, _ in second)


def test_a_layer_that_is_bad_now_and_then_does_not_ring():
    bad, fine = sample(EVEN, EVEN, (340, 330, 300, 30)), sample(EVEN, EVEN, EVEN)
    assert told(bad, fine, bad, fine, bad) == [[]] * 5


def test_a_crossing_rings_once_until_it_is_over():
    low, hidden, fine = (400, 300, 260, 40), (390, 300, 255, 55), (350, 300, 260, 90)
    story = (low, low, low, hidden, low, fine, fine, low, low)
    rung = told(*(sample(layer, EVEN, EVEN) for layer in story))
    starved = [[raised for rule, layer, raised in each if (rule, layer) == ("starved", 0)] for each in rung]
    assert starved == [[], [True], [], [], [], [False], [], [], [True]]


def test_another_layer_that_crosses_rings_again_and_all_are_named():
    low = (330, 330, 300, 40)
    watch = Watch()
    for layer in (EVEN, EVEN, (340, 330, 300, 30), (340, 330, 300, 30)):
        watch, alarms = watch.after(sample(low, EVEN, layer, EVEN))
    (starved,) = [alarm for alarm in alarms if alarm.rule == "starved"]
    assert (starved.layer, starved.expert, starved.layers, starved.value) == (2, 3, (0, 2), 0.03)
    assert (starved.level, starved.limit, starved.remedy) == ("warn", pytest.approx(0.05), REMEDIES["starved"])


def test_with_two_experts_on_each_token_the_gates_tell_of_dominance():
    """Shares of assignments cannot pass one half at top-2, however much one expert dominates."""
    always = (500, 200, 150, 150)
    assert not any(rule == "dominant" for rule, *_ in told(sample(always))[0])
    assert ("dominant", None, True) in told(sample(always, gate_mass=((0.9, 0.05, 0.03, 0.02),)))[0]


def test_over_all_layers_a_collapse_is_bad_at_once_and_unevenness_a_warning():
    _, alarms = Watch().after(sample((960, 20, 10, 10)))
    assert {(alarm.rule, alarm.level, alarm.layer) for alarm in alarms} == {
        ("collapse", "bad", None),
        ("dominant", "bad", None),
        ("starved", "bad", None),
        ("uneven", "warn", None),
    }
    _, alarms = Watch().after(sample((480, 200, 160, 160)))
    assert {(alarm.rule, alarm.level) for alarm in alarms} == {("uneven", "warn")}


def test_validation_and_training_are_watched_apart():
    low = (340, 330, 300, 30)
    rung = told(sample(low), sample(EVEN, source="eval"), sample(low, source="eval"), sample(low))
    assert [("starved", None, True) in each for each in rung] == [True, False, True, False]


def test_a_sample_too_small_to_tell_rings_nothing():
    assert told(sample((LEAST_ASSIGNMENTS - 1, 0, 0, 0)), sample()) == [[], []]


@given(st.lists(st.lists(st.tuples(*[st.integers(0, 3000)] * 4), min_size=1, max_size=3), max_size=6))
def test_raised_and_cleared_alternate_for_each_rule(runs):
    watch, standing = Watch(), {}
    for number, layers in enumerate(runs):
        watch, alarms = watch.after(sample(*layers, step=number))
        for alarm in alarms:
            key = (alarm.rule, alarm.layer is None)
            assert alarm.raised or standing.get(key), "an alarm that never rang was called off"
            standing[key] = alarm.raised
            assert (alarm.level == "good") == (not alarm.raised)
    told_of = {(rule, layer is None) for _, rule, layer in watch.broken}
    assert {key for key, rings in standing.items() if rings} == told_of


def alarm(**changes):
    facts = {
        "step": 40,
        "source": "train",
        "rule": "starved",
        "level": "bad",
        "raised": True,
        "layers": (3, 7),
        "layer": 3,
        "expert": 2,
        "value": 0.041,
        "limit": 0.05,
        "remedy": REMEDIES["starved"],
    }
    return ExpertsAlarmed(**(facts | changes))


def view_of(*events):
    return fold([Record(seq=n, wall=1000.0 + n, mono=float(n), event=event) for n, event in enumerate(events)])


def test_the_view_keeps_the_alarms_that_stand_worst_first():
    uneven = alarm(rule="uneven", level="warn", expert=None, value=1.2, limit=1.3, layer=None, layers=())
    view = view_of(uneven, alarm(), alarm(step=50, layers=(3, 5, 7)))
    assert [(each.rule, each.layers, each.step) for each in view.alarms] == [
        ("starved", (3, 5, 7), 50),
        ("uneven", (), 40),
    ]
    view = view_of(uneven, alarm(), alarm(raised=False, level="good", layers=()))
    assert [each.rule for each in view.alarms] == ["uneven"]


def test_a_new_attempt_begins_without_alarms():
    opened = LogOpened(schema=1, run_id="r", attempt=2, pid=1, host="h", boot_id="b", version="v", argv=())
    assert view_of(alarm(), opened).alarms == ()


@pytest.mark.parametrize(
    ("event", "text", "tone"),
    [
        (alarm(), f"expert 2 takes 4.1% of layer 3 (limit 5%) and 1 other layer: {REMEDIES['starved']}", "bad"),
        (
            alarm(rule="uneven", level="warn", expert=None, value=1.2, limit=1.3, layer=None, layers=(), remedy="x"),
            "usage entropy over all layers 1.20 (limit 1.30): x",
            "warn",
        ),
        (
            alarm(raised=False, level="good", layers=(), value=0.09, remedy="", source="eval"),
            "smallest share in every layer in validation again within its limit: 9.0%",
            "good",
        ),
    ],
)
def test_the_feed_tells_the_number_and_the_remedy(event, text, tone):
    said = line(EMPTY, event)
    assert (said.topic, said.text, said.tone) == ("experts", text, tone)


def test_no_remedy_is_cut_off_in_the_feed():
    for rule, remedy in REMEDIES.items():
        widest = alarm(rule=rule, source="eval", layers=tuple(range(40)), layer=39, value=0.999, remedy=remedy)
        assert line(EMPTY, widest).text.endswith(remedy)
