"""A quoted finish time comes true: the loop's own schedule and pace on a simulated clock with jittered costs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.plan.estimate import make_plan
from engine.plan.throughput import Costs
from engine.plan.workload import Workload
from engine.training import deadline
from states.phases import Reason
from tests.training.test_deadline import Simulated

JITTER = 0.2
PIECES = 25


def work(window_s: float | None, **changes: object) -> Workload:
    stated = {
        "profile": "balanced",
        "train_examples": 7_200,
        "train_tokens": 3_600_000,
        "eval_tokens": 400_000,
        "eval_examples": 800,
        "batch_size": 4,
        "accumulation": 8,
        "max_length": 2048,
        "epochs": 3,
        "warmup_steps": 1000,
        "eval_every": 500,
        "checkpoint_interval_s": 1800.0,
        "window_s": window_s,
        "reserve_s": 0.0 if window_s is None else window_s / 24,
        "examined": True,
    }
    return Workload(**{**stated, **changes})


def in_pieces(run: Simulated, seconds: float) -> float:
    """Many bins, each with its own jitter; what they took together."""
    return sum(run.spend(seconds / PIECES) for _ in range(PIECES))


def simulated_s(asked: Workload, costs: Costs, seed: int, monkeypatch) -> tuple[float, float, Reason | None]:
    """Seconds that were announced, seconds that it took, and why it ended."""
    plan = make_plan(asked, costs)
    run = Simulated(
        window_s=asked.window_s,
        planned_steps=plan.planned_steps,
        step_s=plan.step_s,
        eval_every=plan.eval_every,
        eval_s=plan.eval_subset_tokens * costs.read_s,
        save_s=costs.save_s,
        jitter=JITTER,
        bests=0.9,
        seed=seed,
    )
    monkeypatch.setattr(deadline, "time", SimpleNamespace(time=lambda: run.now))
    run.now = costs.setup_s
    run.pace.full_eval_s = in_pieces(run, asked.eval_tokens * costs.read_s)
    run.pace.examination = 2.0
    reason = run.run()
    in_pieces(run, plan.estimated_s["finalize"])
    return plan.total_s, run.now, reason


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("speed", [400.0, 800.0, 9000.0])
def test_a_run_ends_within_three_percent_of_the_time_it_was_given(seed, speed, monkeypatch):
    costs = Costs(tokens_per_s=speed, source="measured", setup_s=300.0, save_s=8.0)
    announced, took, reason = simulated_s(work(24 * 3600.0), costs, seed, monkeypatch)
    assert reason is Reason.TARGET
    assert took == pytest.approx(announced, rel=0.03)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("hours", [1.0, 2.0, 4.0])
def test_a_run_that_was_made_to_fit_its_window_ends_in_it_and_as_announced(seed, hours, monkeypatch):
    costs = Costs(tokens_per_s=800.0, source="measured", setup_s=300.0, save_s=8.0)
    announced, took, _ = simulated_s(work(hours * 3600.0), costs, seed, monkeypatch)
    assert took <= hours * 3600.0
    assert took == pytest.approx(announced, rel=0.03)


@pytest.mark.parametrize("steps", [1, 3, 5, 9])
def test_few_steps_are_not_outweighed_by_their_evaluations(steps):
    small = work(
        None, train_examples=32 * steps, train_tokens=16_000 * steps, eval_tokens=4_000, eval_examples=8, epochs=1
    )
    plan = make_plan(small, Costs(tokens_per_s=800.0, source="measured", setup_s=10.0, save_s=0.5))
    assert plan.planned_steps == steps
    assert plan.evaluations >= 1
    read = plan.evaluations * plan.eval_subset_tokens / 3
    assert read <= 0.05 * small.train_tokens
    assert plan.evaluations < steps or steps == 1
