"""How fast a run goes, as far as it knows."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.training.pace import LEAST, WINDOW, Pace

SECONDS = st.floats(min_value=1e-3, max_value=1e3)


def test_until_enough_steps_were_measured_the_plan_is_believed():
    pace = Pace(planned_step_s=2.0)
    pace.stepped(90.0)  # warms caches
    for _ in range(LEAST - 1):
        pace.stepped(1.0)
        assert pace.step_s == 2.0
    pace.stepped(1.0)
    assert pace.step_s == 1.0


def test_a_hiccup_does_not_change_the_pace_and_a_new_speed_does_within_the_window():
    pace = Pace(planned_step_s=1.0)
    for _ in range(2 * WINDOW):
        pace.stepped(1.0)
    pace.stepped(500.0)
    assert pace.step_s == 1.0
    for _ in range(WINDOW):
        pace.stepped(3.0)
    assert pace.step_s == 3.0


def test_a_step_carries_its_share_of_evaluations_and_saves():
    pace = Pace(planned_step_s=40.0)
    pace.evals.append(200.0)
    pace.saves.append(15.0)
    alone = pace.all_in_step_s(eval_every=10**9, save_interval_s=1800.0)
    assert alone == pytest.approx(40.0 * (1.0 + 15.0 / 1800.0), rel=1e-6)
    # A best, saved at once, after each of the evaluations.
    assert pace.all_in_step_s(eval_every=100, save_interval_s=1800.0) == pytest.approx(alone + 2.15, rel=1e-6)


@given(st.lists(SECONDS, max_size=50), st.lists(SECONDS, max_size=12), st.lists(SECONDS, max_size=12), SECONDS)
def test_a_resume_expects_what_was_measured_before_it(steps, evals, saves, full):
    pace = Pace(planned_step_s=7.0, full_eval_s=full)
    for seconds in steps:
        pace.stepped(seconds)
    pace.evals.extend(evals)
    pace.saves.extend(saves)
    again = Pace(planned_step_s=123.0)
    again.recall(pace.to_json())
    assert (again.step_s, again.eval_s, again.save_s) == (pace.step_s, pace.eval_s, pace.save_s)
    assert again.finalize_s == pace.finalize_s
    where = {"eval_every": 10, "save_interval_s": 1800.0}
    assert again.all_in_step_s(**where) == pace.all_in_step_s(**where)


@given(st.lists(SECONDS, min_size=LEAST + 1, max_size=100))
def test_the_pace_is_the_median_of_the_latest_steps(steps):
    pace = Pace(planned_step_s=7.0)
    for seconds in steps:
        pace.stepped(seconds)
    assert pace.step_s == statistics.median(steps[1:][-WINDOW:])


def test_finalize_is_priced_with_its_examination_and_at_todays_pace():
    pace = Pace(planned_step_s=1.0, full_eval_s=10.0, examination=2.0)
    assert pace.finalize_s == pytest.approx(1.5 * 10.0 + 2.0 * 10.0 + 1.0)
    for _ in range(WINDOW):
        pace.stepped(1.0)
    calm = pace.finalize_s
    for _ in range(WINDOW):
        pace.stepped(2.0)
    assert pace.slowdown == 2.0
    assert pace.finalize_s - 1.0 == pytest.approx(2 * (calm - 1.0)), "a machine half as fast takes twice as long"
    for _ in range(WINDOW):
        pace.stepped(0.5)
    assert pace.finalize_s == calm, "a faster one gives nothing back that was measured"
