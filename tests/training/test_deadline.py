"""The horizon against the clock, simulated: runs of random costs end in time and waste little of their window."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.training import deadline
from engine.training.deadline import move_horizon, reserve, time_is_up, why_done, window_closes
from engine.training.pace import Pace
from engine.training.progress import Progress
from states.budget import reserve_s
from states.events import DeadlineApproached, DeadlineReached, DeadlineReplanned, Event
from states.patience import Patience
from states.phases import Reason
from states.schedule import begin, learning_rate


@dataclass(kw_only=True)
class Simulated:
    """A session and a trainer in one, whose clock goes on only as it is told."""

    window_s: float | None
    planned_steps: int
    step_s: float
    eval_every: int = 10**9
    eval_s: float = 0.0
    save_s: float = 0.0
    jitter: float = 0.0
    seed: int = 0
    full_eval_s: float = 0.0
    bests: float = 0.5
    """Share of the evaluations that find one, which is saved."""
    now: float = 0.0
    warned: bool = False
    events: list[Event] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    """The cosine's u at every step boundary."""

    def __post_init__(self) -> None:
        self.pace = Pace(planned_step_s=self.step_s, full_eval_s=self.full_eval_s)
        self.plan = SimpleNamespace(planned_steps=self.planned_steps)
        self.config = SimpleNamespace(safety=SimpleNamespace(checkpoint_interval_minutes=30.0))
        self.launch = SimpleNamespace(window=SimpleNamespace(deadline_wall=self.window_s, length_s=self.window_s))
        self.reserve_s = reserve_s(self.window_s or 0.0, 0.0)
        self.progress = Progress(horizon=begin(self.planned_steps, 0), patience=Patience(limit=3))
        self.chance = random.Random(self.seed)
        self.saved = self.now

    @property
    def training(self) -> Progress:
        return self.progress

    @property
    def step(self) -> int:
        return self.progress.step

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def remaining_s(self) -> float | None:
        return None if self.window_s is None else self.window_s - self.now

    def spend(self, seconds: float) -> float:
        """Seconds that something of this length takes today."""
        took = seconds * self.chance.uniform(1.0 - self.jitter, 1.0 + self.jitter)
        self.now += took
        return took

    def one_step(self) -> None:
        """As the loop does it: the step, the horizon, then what is due."""
        took = self.spend(self.step_s)
        self.pace.stepped(took)
        self.progress = self.progress.stepped(tokens=1, targets=1).told(step_s=took, rejected=False)
        move_horizon(self, self)  # type: ignore[arg-type]
        self.shares.append(self.progress.horizon.u)
        best = self.step % self.eval_every == 0 and self.evaluated() and self.chance.random() < self.bests
        if best or self.now - self.saved >= 1800.0:
            self.pace.saves.append(self.spend(self.save_s))
            self.saved = self.now

    def evaluated(self) -> bool:
        """Whether an evaluation came to its end; it stops where the reserve begins."""
        before = self.now
        took = self.spend(self.eval_s)
        if window_closes(self, self):  # type: ignore[arg-type]
            self.now = max(before, self.now - took, (self.window_s or 0.0) - self.reserved)
            return False
        self.pace.evals.append(took)
        return True

    def run(self, most_steps: int = 10**9) -> Reason | None:
        """Go on until the loop would end, or for so many steps."""
        for _ in range(most_steps):
            if self.progress.horizon.done:
                return why_done(self, self)  # type: ignore[arg-type]
            if time_is_up(self, self):  # type: ignore[arg-type]
                return Reason.DEADLINE
            self.one_step()
        return None

    @property
    def reserved(self) -> float:
        return reserve(self, self)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def simulated_clock(monkeypatch):
    """`time.time` of the module under test is the clock of the run that asks, which `ticking` names."""
    monkeypatch.setattr(deadline, "time", SimpleNamespace(time=lambda: Ticking.run.now))


class Ticking:
    run: Any


def ticking(**costs: Any) -> Simulated:
    Ticking.run = Simulated(**costs)
    return Ticking.run


def unbroken(shares: list[float]) -> bool:
    return all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(shares))


@st.composite
def costs(draw: st.DrawFn) -> dict[str, Any]:
    """A run whose window holds 60 to 250 steps and at least five evaluations, each as dear as a few steps."""
    step_s = draw(st.floats(min_value=0.5, max_value=60.0))
    fits = draw(st.integers(min_value=60, max_value=250))
    eval_every = fits // draw(st.integers(min_value=5, max_value=20))
    eval_s = step_s * draw(st.floats(min_value=0.0, max_value=3.0))
    return {
        "step_s": step_s,
        "eval_every": eval_every,
        "eval_s": eval_s,
        "full_eval_s": 2 * eval_s,
        "save_s": step_s * draw(st.floats(min_value=0.0, max_value=1.0)),
        "jitter": draw(st.floats(min_value=0.0, max_value=0.3)),
        "seed": draw(st.integers(min_value=0, max_value=99)),
        "window_s": fits * (step_s + eval_s / eval_every) * 24 / 23,
    }


FIRST_SAVE_AT_THE_END = {
    "step_s": 3.0,
    "eval_every": 12,
    "eval_s": 2.25,
    "full_eval_s": 4.5,
    "save_s": 3.0,
    "jitter": 0.25,
    "seed": 95,
    "window_s": 199.56521739130434,
}


@settings(max_examples=60, deadline=None)
@given(costs(), st.sampled_from([0.3, 0.7, 1.0]))
@example(FIRST_SAVE_AT_THE_END, 0.3)
def test_whatever_a_run_costs_it_ends_in_time_with_its_cosine_done_and_wastes_little(costs, foresight):
    run = ticking(planned_steps=100_000, **costs)
    run.pace.planned_step_s *= foresight  # the plan may have believed in a faster machine
    assert run.run() is Reason.DEADLINE
    longest = 1.0 + run.jitter
    saved = run.saved == run.now  # the last evaluation found a best, so the last checkpoint is written
    needed = longest * (run.full_eval_s + (0.0 if saved else run.save_s))
    assert run.now + needed <= run.window_s, "the last checkpoint and the judgement still fit"
    wasted = run.window_s - run.reserved - run.now
    assert wasted <= 0.02 * run.window_s + longest * (2 * run.step_s + run.eval_s + run.save_s)
    assert learning_rate(run.progress.horizon, 1.0) < 0.05
    assert unbroken(run.shares)


def test_evaluations_are_expected_before_they_are_made():
    run = ticking(window_s=1000.0, planned_steps=100_000, step_s=1.0, eval_every=10, eval_s=10.0, full_eval_s=20.0)
    assert run.run(20) is None
    expected = run.progress.horizon.total_steps
    assert run.run() is Reason.DEADLINE
    assert run.step == pytest.approx(expected, rel=0.04)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.floats(min_value=0.3, max_value=4.0)), min_size=1, max_size=6),
    st.integers(min_value=0, max_value=99),
)
def test_however_often_the_speed_changes_the_cosine_only_ever_falls(stretches, seed):
    run = ticking(window_s=400.0, planned_steps=300, step_s=1.0, jitter=0.1, seed=seed)
    reason = None
    for steps, step_s in stretches:
        run.step_s = step_s
        reason = reason or run.run(steps)
    reason = reason or run.run()
    assert reason in {Reason.DEADLINE, Reason.TARGET}
    assert unbroken(run.shares)
    assert run.step <= run.planned_steps
    assert run.now <= run.window_s - run.reserved + 1.1 * max(4.0, run.step_s), "late by the last step at the most"
    told = [event for event in run.events if isinstance(event, DeadlineReplanned)]
    assert all(event.planned_steps <= run.planned_steps for event in told)


def test_a_slow_stretch_shortens_the_run_and_a_fast_one_gives_the_steps_back():
    run = ticking(window_s=330.0, planned_steps=300, step_s=1.0)
    for steps, step_s in ((60, 1.0), (60, 1.5), (60, 0.4)):
        run.step_s = step_s
        assert run.run(steps) is None
    assert run.run() is Reason.TARGET
    told = [event.why for event in run.events if isinstance(event, DeadlineReplanned)]
    assert told[0] == "the window holds fewer steps"
    assert told[-1] == "the window holds more steps"
    assert run.step == 300
    assert unbroken(run.shares)


def test_an_hour_paused_is_an_hour_less():
    run = ticking(window_s=10_000.0, planned_steps=800, step_s=10.0)
    assert run.run(100) is None
    assert not run.events
    run.now += 3600.0
    assert run.run() is Reason.DEADLINE
    assert 550 <= run.step <= 600
    assert learning_rate(run.progress.horizon, 1.0) < 0.01
    assert unbroken(run.shares)


def test_without_a_window_the_plan_alone_decides():
    run = ticking(window_s=None, planned_steps=50, step_s=1000.0)
    assert run.run() is Reason.TARGET
    assert run.step == 50
    assert not run.events
    assert not window_closes(run, run)


def test_a_dear_finalize_claims_at_most_a_third_of_a_window_that_is_there_to_train_in():
    run = ticking(window_s=300.0, planned_steps=100, step_s=1.0, full_eval_s=200.0)
    assert run.pace.finalize_s > 300.0
    assert run.reserved == 100.0
    run.reserve_s = 150.0  # a person's own choice
    assert run.reserved == 150.0
    assert ticking(window_s=3000.0, planned_steps=100, step_s=1.0, full_eval_s=200.0).reserved == 301.0


def test_the_end_is_announced_once_and_then_reached():
    run = ticking(window_s=240.0, planned_steps=100_000, step_s=1.0, full_eval_s=10.0)
    while not time_is_up(run, run):
        run.now += 1.0
    approached, reached = [event for event in run.events if not isinstance(event, DeadlineReplanned)]
    assert isinstance(approached, DeadlineApproached)
    assert isinstance(reached, DeadlineReached)
    assert approached.reserve_s == pytest.approx(16.0), "half more than the judgement was measured to take"
    assert approached.remaining_s <= 2 * approached.reserve_s
    assert reached.remaining_s == pytest.approx(16.0 + run.step_s), "a step more would have eaten into the reserve"
    assert not window_closes(run, run)
    run.now += 1.5
    assert window_closes(run, run)
