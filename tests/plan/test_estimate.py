"""A plan fits its window or says that it does not, and every difference from the configuration is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import MoeConfig
from engine.plan.estimate import Alternative, make_plan, to_event
from engine.plan.layout import EVAL_SHARE
from engine.plan.memory import memory_of
from engine.plan.shape import REFERENCE
from engine.plan.throughput import FORWARD_SHARE, Costs
from engine.plan.workload import Workload
from states.codec import decode, encode
from states.events import Record

HOUR = 3600.0
DOCUMENT = Workload(
    profile="balanced",
    train_examples=7_200,
    train_tokens=3_600_000,
    eval_tokens=400_000,
    eval_examples=800,
    batch_size=4,
    accumulation=8,
    max_length=2048,
    epochs=3,
    warmup_steps=1000,
    eval_every=500,
    checkpoint_interval_s=1800.0,
    window_s=12 * HOUR,
    reserve_s=0.5 * HOUR,
)
COSTS = Costs(tokens_per_s=800.0, source="assumed", setup_s=480.0, save_s=8.0)


def narrowed(hours: float, **changes: object) -> Workload:
    return replace(DOCUMENT, window_s=hours * HOUR, reserve_s=hours * HOUR / 24, **changes)


def test_the_documents_run_takes_a_little_over_four_of_its_twelve_hours():
    plan = make_plan(DOCUMENT, COSTS)
    assert (plan.planned_steps, plan.steps_per_epoch, plan.tokens_per_step) == (675, 225, 16_000)
    assert plan.fits
    assert plan.estimated_s["training"] == pytest.approx(3.75 * HOUR)
    assert 4.0 * HOUR < plan.total_s < 4.5 * HOUR


def test_warm_up_is_capped_and_evaluations_are_frequent_enough_and_both_are_said():
    plan = make_plan(DOCUMENT, COSTS)
    assert (plan.warmup_steps, plan.eval_every, plan.evaluations) == (67, 67, 10)
    assert any("Warm-up takes 67 steps instead of 1,000" in change for change in plan.changes)
    assert any("Evaluations every 67 steps instead of every 500 steps" in change for change in plan.changes)


def test_a_configuration_that_needs_no_change_is_left_alone():
    plan = make_plan(replace(DOCUMENT, warmup_steps=50, eval_every=60, eval_tokens=100_000), COSTS)
    assert (plan.warmup_steps, plan.eval_every, plan.planned_steps, plan.changes) == (50, 60, 675, ())


def test_a_short_window_first_makes_evaluations_rarer():
    plan = make_plan(narrowed(4.4, eval_every=5), COSTS)
    roomy = make_plan(narrowed(12, eval_every=5), COSTS)
    assert (roomy.eval_every, roomy.planned_steps) == (5, 675)
    assert (plan.eval_every, plan.planned_steps) == (67, 675)
    assert plan.fits
    assert any("that gains" in change and change.startswith("Evaluations every 67") for change in plan.changes)


def test_a_shorter_window_then_takes_fewer_steps_and_says_the_gain():
    plan = make_plan(narrowed(2), COSTS)
    assert plan.fits
    assert plan.planned_steps < 675
    assert plan.epochs == plan.planned_steps / 225
    assert any("holds no more: that gains" in change for change in plan.changes)
    assert plan.total_s > 0.9 * plan.window_s, "the window is used"


def test_a_window_too_short_for_anything_says_how_much_is_missing():
    plan = make_plan(narrowed(0.1), COSTS)
    assert not plan.fits
    assert "more with --hours" in plan.warnings[0]
    more = plan.estimated_s["setup"] + plan.total_s
    assert make_plan(narrowed(more / HOUR), COSTS).fits


def test_without_a_time_limit_everything_fits():
    plan = make_plan(replace(DOCUMENT, window_s=None, reserve_s=0.0, epochs=100), COSTS)
    assert plan.fits
    assert plan.planned_steps == 22_500


def test_bins_that_were_measured_to_be_faster_come_before_fewer_epochs():
    slow, quick = (
        memory_of(REFERENCE, MoeConfig(), device="cuda", item=2, bin_tokens=8192, recompute=again, limit=85 * 10**9)
        for again in (True, False)
    )
    known = [Alternative(memory=quick, tokens_per_s=1200.0)]
    tight = narrowed(4)
    plan = make_plan(tight, COSTS, memory=slow, alternatives=known)
    assert plan.memory == quick
    assert (plan.profile, plan.planned_steps, plan.tokens_per_s) == ("balanced", 675, 1200.0)
    assert any("without recomputing activations, measured on this device at 1,200" in change for change in plan.changes)
    assert make_plan(narrowed(12), COSTS, memory=slow, alternatives=known).memory == slow, "only where time is short"
    assert make_plan(tight, COSTS, memory=slow).profile == "fast"
    barely = [Alternative(memory=quick, tokens_per_s=805.0)]
    assert make_plan(tight, COSTS, memory=slow, alternatives=barely).memory == slow


def test_a_profile_with_whole_epochs_comes_before_a_part_of_one():
    plan = make_plan(narrowed(3.5), COSTS)
    assert (plan.profile, plan.planned_steps, plan.epochs) == ("fast", 450, 2.0)
    assert any(change.startswith("The profile fast instead of balanced: 2 of 3 epochs") for change in plan.changes)
    quality = make_plan(narrowed(4.4, profile="quality", epochs=4), COSTS)
    assert (quality.profile, quality.planned_steps) == ("balanced", 675)


def test_bins_that_were_made_smaller_are_said_also_where_the_run_seems_late():
    smaller = "Bins of 4,096 tokens instead of 8,192: memory."
    plan = make_plan(DOCUMENT, replace(COSTS, tokens_per_s=1.0), adjusted=(smaller,))
    assert not plan.fits
    assert plan.adjusted == plan.changes == (smaller,), "the plan of Init, which may fit, says it again"


def test_manual_adjusts_nothing_and_warns():
    plan = make_plan(narrowed(3), COSTS, manual=True)
    assert (plan.planned_steps, plan.warmup_steps, plan.eval_every) == (675, 1000, 500)
    assert plan.changes == ()
    assert not plan.fits
    assert [warning.split()[0] for warning in plan.warnings] == ["Warm-up", "The", "The"]
    assert "never reach its peak" in plan.warnings[0]
    assert "evaluated once" in plan.warnings[1]
    assert "does not fit" in plan.warnings[2]


def test_a_finalize_that_was_measured_longer_takes_a_larger_reserve():
    slow = make_plan(narrowed(5), replace(COSTS, finalize_s=1.0 * HOUR))
    assert slow.reserve_s == 1.0 * HOUR
    assert slow.planned_steps < make_plan(narrowed(5), COSTS).planned_steps


def test_the_journal_takes_the_plan():
    plan = make_plan(narrowed(3), COSTS)
    event = to_event(plan)
    assert decode(encode(Record(seq=1, wall=2.0, mono=3.0, event=event))).event == event
    assert event.changes == plan.changes


WORK = st.builds(
    Workload,
    profile=st.just("balanced"),
    train_examples=st.integers(1, 20_000),
    train_tokens=st.integers(1, 10**8),
    eval_tokens=st.integers(0, 10**7),
    eval_examples=st.integers(1, 2_000),
    batch_size=st.integers(1, 16),
    accumulation=st.integers(1, 16),
    max_length=st.just(2048),
    epochs=st.integers(1, 20),
    warmup_steps=st.integers(0, 2000),
    eval_every=st.integers(1, 2000),
    checkpoint_interval_s=st.floats(1.0, 1e5),
    window_s=st.none() | st.floats(1.0, 1e6),
    reserve_s=st.floats(0.0, 1e4),
)
PRICES = st.builds(
    Costs,
    tokens_per_s=st.floats(1.0, 1e5),
    source=st.just("assumed"),
    setup_s=st.floats(0.0, 1e3),
    save_s=st.floats(0.0, 100.0),
    finalize_s=st.none() | st.floats(0.0, 1e4),
)


@given(WORK, PRICES)
def test_whatever_is_planned_keeps_its_promises(work, prices):
    plan = make_plan(work, prices)
    assert plan == make_plan(work, prices), "planned twice, planned the same"
    assert 1 <= plan.planned_steps <= work.steps
    assert plan.warmup_steps <= min(work.warmup_steps, plan.planned_steps / 10)
    assert plan.planned_steps < 10 or plan.evaluations >= 10
    in_training = plan.evaluations * plan.eval_subset_tokens * FORWARD_SHARE
    assert in_training <= EVAL_SHARE * work.tokens(plan.planned_steps) + 1e-6
    assert plan.eval_subset_tokens <= work.eval_tokens
    assert list(plan.estimated_s) == ["setup", "training", "evaluation", "checkpoints", "finalize"]
    if plan.fits and work.window_s is not None:
        assert plan.total_s <= work.window_s + 1e-6
    assert plan.fits is not bool(plan.warnings)
    if plan.fits:
        changed = (plan.planned_steps, plan.warmup_steps) != (work.steps, work.warmup_steps)
        assert bool(plan.changes) >= (changed or plan.eval_every != work.eval_every)


@given(WORK, PRICES)
def test_manual_never_changes_what_was_asked_for(work, prices):
    plan = make_plan(work, prices, manual=True)
    assert (plan.planned_steps, plan.warmup_steps, plan.eval_every) == (work.steps, work.warmup_steps, work.eval_every)
    assert plan.changes == ()


@given(WORK, PRICES, st.floats(1.1, 10.0))
def test_a_run_that_fits_still_fits_a_longer_window(work, prices, factor):
    if work.window_s is not None and make_plan(work, prices).fits:
        assert make_plan(replace(work, window_s=work.window_s * factor), prices).fits


def test_nothing_to_train_on_is_a_mistake():
    with pytest.raises(ValueError, match="nothing to train on"):
        replace(DOCUMENT, train_tokens=0)
