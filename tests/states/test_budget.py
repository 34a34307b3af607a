"""The time ledger: what is left, what is kept for the end, and when the run should be over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from states.budget import Ledger, Verdict, reserve_s
from states.events import (
    CheckpointCompleted,
    DeadlineReplanned,
    EvalCompleted,
    LogOpened,
    PhaseChanged,
    Record,
    RunPaused,
    RunPlanned,
    StepCompleted,
)
from states.phases import Cause, Phase, Trigger
from states.reducer import EMPTY, fold
from states.view import Window

HOUR = 3600.0


def at(wall, event):
    return Record(seq=0, wall=wall, mono=wall, event=event)


def phase(wall, old, new):
    return at(wall, PhaseChanged(old=old, new=new, trigger=Trigger.ADVANCE, step=0))


def step(wall, number, step_s=10.0):
    return at(
        wall,
        StepCompleted(
            step=number, epoch=0.1, loss=1.0, lr=1e-4, grad_norm=0.5, tokens=9, targets=5, step_s=step_s, data_s=0.0
        ),
    )


def evaluated(wall, number, eval_s):
    return at(
        wall,
        EvalCompleted(step=number, scope="subset", loss=1.0, targets=9, eval_s=eval_s, best=False, domains={}),
    )


def saved(wall, number, save_s):
    return at(
        wall,
        CheckpointCompleted(step=number, path=f"checkpoint-{number}", cause=Cause.SCHEDULE, bytes=1, save_s=save_s),
    )


PLANNED = RunPlanned(
    profile="balanced",
    source="assumed",
    planned_steps=100,
    warmup_steps=10,
    epochs=1.0,
    steps_per_epoch=100,
    conversations_per_step=32,
    tokens_per_step=160,
    eval_every=25,
    tokens_per_s=20.0,
    estimated_s={"setup": 60.0, "training": 800.0, "evaluation": 40.0, "checkpoints": 20.0, "finalize": 120.0},
)
LOG = LogOpened(schema=1, run_id="r", attempt=1, pid=1, host="h", boot_id="b", version="0")
SETUP = [at(0.0, LOG), at(5.0, PLANNED)]
TRAINING = [*SETUP, phase(20.0, Phase.SETUP, Phase.INIT), phase(50.0, Phase.INIT, Phase.WARMUP)]
LEDGER = Ledger(deadline_wall=2000.0, reserve_s=150.0)


def test_the_reserve_is_what_finalizing_takes_but_half_an_hour_of_twelve_at_least():
    assert reserve_s(12 * HOUR, 60.0) == HOUR / 2
    assert reserve_s(12 * HOUR, HOUR) == HOUR
    assert reserve_s(0.0, 0.0) == 0.0


def test_a_ledger_counts_down_to_the_reserve_and_to_the_deadline():
    ledger = Ledger.of(Window(opened_wall=0.0, deadline_wall=1000.0, reserve_s=100.0))
    assert (ledger.remaining(300.0), ledger.until_reserve(300.0)) == (700.0, 600.0)
    assert (ledger.remaining(1100.0), ledger.until_reserve(1100.0)) == (-100.0, -200.0)


@given(st.floats(0, 1e10), st.floats(0, 1e6))
def test_without_time_constraints_time_never_runs_out(now, step_s):
    ledger = Ledger.of(Window(opened_wall=0.0, deadline_wall=None))
    assert ledger.remaining(now) is None
    assert ledger.until_reserve(now) is None
    assert ledger.verdict(now, step_s) is Verdict.GO_ON
    assert ledger.slack_s(fold(TRAINING), now) is None


@pytest.mark.parametrize(
    ("now", "step_s", "verdict"),
    [
        (0.0, 10.0, Verdict.GO_ON),
        (799.0, 10.0, Verdict.GO_ON),
        (801.0, 10.0, Verdict.APPROACHED),
        (889.0, 10.0, Verdict.APPROACHED),
        (890.0, 10.0, Verdict.REACHED),
        (890.0, 5.0, Verdict.APPROACHED),
        (900.0, 0.0, Verdict.REACHED),
        (2000.0, 0.0, Verdict.REACHED),
    ],
)
def test_training_goes_on_while_one_more_step_fits_before_the_reserve(now, step_s, verdict):
    assert Ledger(deadline_wall=1000.0, reserve_s=100.0).verdict(now, step_s) is verdict


@given(st.floats(0, 1e5), st.floats(0, 1e4), st.floats(0, 1e3), st.floats(0, 1e5))
def test_the_verdict_only_ever_gets_worse(deadline, reserve, step_s, now):
    ledger = Ledger(deadline_wall=deadline, reserve_s=reserve)
    order = list(Verdict)
    assert order.index(ledger.verdict(now, step_s)) <= order.index(ledger.verdict(now + 1.0, step_s))


def test_nothing_is_projected_before_there_is_a_plan():
    assert LEDGER.projected_finish(EMPTY, 10.0) is None
    assert LEDGER.slack_s(EMPTY, 10.0) is None


def test_before_the_first_step_the_projection_is_the_plan():
    view = fold(SETUP)
    # 60 s of setup of which 5 have passed, 100 steps of 160 / 20 s, evaluations, saves, finalize.
    assert LEDGER.projected_finish(view, 5.0) == 5.0 + 55.0 + 800.0 + 40.0 + 20.0 + 120.0
    assert LEDGER.slack_s(view, 5.0) == 2000.0 - 1040.0


def test_measured_steps_replace_the_assumed_ones():
    view = fold([*TRAINING, step(60.0, 1), step(70.0, 2)])
    assert LEDGER.projected_finish(view, 70.0) == pytest.approx(70.0 + 98 * 10.0 + 0.98 * 60.0 + 120.0)


def test_measured_evaluations_and_saves_replace_the_planned_ones():
    view = fold(
        [*TRAINING, *(step(50.0 + 10 * n, n) for n in range(1, 51)), evaluated(551.0, 50, 7.0), saved(550.0, 50, 5.0)]
    )
    # 50 steps left, two more evaluations at 75 and 100, a save every 500 s as so far.
    assert LEDGER.projected_finish(view, 550.0) == pytest.approx(550.0 + 500.0 + 2 * 7.0 + 5.0 + 120.0)


def test_the_projection_stands_still_while_a_step_takes_its_time():
    view = fold([*TRAINING, step(60.0, 1)])
    finish = LEDGER.projected_finish(view, 60.0)
    assert LEDGER.projected_finish(view, 64.0) == pytest.approx(finish)
    assert LEDGER.projected_finish(view, 70.0) == pytest.approx(finish)
    # A step that takes longer than the median does move it.
    assert LEDGER.projected_finish(view, 75.0) == pytest.approx(finish + 5.0, abs=0.5)


def test_a_pause_adds_what_has_passed_of_it_and_no_more():
    view = fold([*TRAINING, step(60.0, 1), at(60.0, RunPaused(step=1))])
    assert LEDGER.projected_finish(view, 160.0) == pytest.approx(LEDGER.projected_finish(view, 60.0) + 100.0)


def test_a_shorter_horizon_brings_the_finish_forward():
    view = fold([*TRAINING, step(60.0, 1)])
    shorter = fold([at(61.0, DeadlineReplanned(step=1, planned_steps=50, step_s=10.0, remaining_s=1.0, why="x"))], view)
    assert LEDGER.projected_finish(shorter, 61.0) < LEDGER.projected_finish(view, 61.0) - 400.0


def test_finalizing_counts_down_and_a_stopped_run_has_finished():
    finalizing = fold([*TRAINING, step(60.0, 100), phase(70.0, Phase.MAIN, Phase.FINALIZE)])
    assert LEDGER.projected_finish(finalizing, 100.0) == 190.0
    assert LEDGER.projected_finish(finalizing, 500.0) == 500.0
    stopped = fold([phase(180.0, Phase.FINALIZE, Phase.STOPPED)], finalizing)
    assert LEDGER.projected_finish(stopped, 9000.0) == 180.0
    assert LEDGER.slack_s(stopped, 9000.0) == 1820.0


def test_a_plan_without_any_estimate_still_gives_an_answer():
    bare = fold([at(0.0, LOG), at(0.0, replace(PLANNED, tokens_per_s=0.0, estimated_s={}, eval_every=0))])
    assert LEDGER.projected_finish(bare, 5.0) == 5.0
