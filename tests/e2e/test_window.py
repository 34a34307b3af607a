"""The paid window on a clock of its own: steps and evaluations cost seconds that nobody waits for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from states.events import (
    DeadlineReached,
    EvalCompleted,
    PhaseChanged,
    RunStopped,
    StepCompleted,
)
from states.phases import ExitCode, Outcome, Phase, Reason

pytestmark = pytest.mark.usefixtures("unsynced")

BIN = "engine.training.evaluate.evaluate_bin"
STEP = "engine.training.memory.take_step"


class Clock:
    """Every clock of this process, which a test can put forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.skipped = 0.0
        for name in ("time", "monotonic", "perf_counter"):
            monkeypatch.setattr(time, name, self._ahead(getattr(time, name)))

    def _ahead(self, clock: Callable[[], float]) -> Callable[[], float]:
        return lambda: clock() + self.skipped

    def costing(self, bench, target: str, seconds: float | Callable[[], float]) -> None:
        """Let each call of `target` take so many seconds more."""
        module, name = target.rsplit(".", 1)
        owner = __import__(module, fromlist=[name])
        original = getattr(owner, name)

        def slow(*args: Any, **rest: Any) -> Any:
            self.skipped += seconds() if callable(seconds) else seconds
            return original(*args, **rest)

        bench.monkeypatch.setattr(owner, name, slow)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def test_a_short_window_with_dear_evaluations_is_used_and_kept(bench, clock):
    clock.costing(bench, STEP, 0.5)
    clock.costing(bench, BIN, 0.4)
    long = ("training.num_train_epochs=50", "training.warmup_steps=0", "safety.enable_early_stopping=false")
    launch_s = time.time()
    assert bench.go(window_s=40.0, manual=True, overrides=long) == ExitCode.FINISHED
    assert time.time() - launch_s < 40.0
    stopped = bench.events(RunStopped)[-1]
    assert stopped.reason is Reason.DEADLINE
    assert 40.0 - stopped.wall_s < 8.0, "Finalize's reserve, and no window given away"
    steps = bench.events(StepCompleted)
    assert len(steps) * 0.5 > 0.5 * 40.0
    assert steps[-1].lr < 0.1 * max(event.lr for event in steps), "the cosine came to its end"
    assert bench.view.best is not None


def test_a_window_that_ends_before_the_first_step_cancels_and_a_new_one_trains(bench, clock):
    few = {"manual": True, "overrides": ("training.per_device_train_batch_size=16", "training.num_train_epochs=1")}
    with pytest.MonkeyPatch.context() as once:
        bench.monkeypatch, kept = once, bench.monkeypatch
        clock.costing(bench, BIN, 6.0)
        assert bench.go(window_s=8.0, **few) == ExitCode.CANCELLED
        bench.monkeypatch = kept
    (stopped,) = bench.events(RunStopped)
    assert (stopped.outcome, stopped.reason, stopped.step) == (Outcome.CANCELLED, Reason.DEADLINE, 0)
    assert bench.events(DeadlineReached)
    assert bench.events(PhaseChanged)[-1].old is Phase.INIT
    clock.skipped += 60.0

    assert bench.go(resume="auto", hours=1.0, **few) == ExitCode.FINISHED
    stopped = bench.events(RunStopped)[-1]
    assert (stopped.outcome, stopped.reason, stopped.step) == (Outcome.FINISHED, Reason.TARGET, 3)


def test_an_evaluation_ends_where_the_reserve_begins(bench, clock):
    # The evaluations in training find a machine a hundred times slower than the one before.
    slow: list[bool] = []
    bench.at(STEP, lambda: slow.append(True))
    clock.costing(bench, BIN, lambda: 58.0 if slow else 0.0)
    small = ("training.eval_steps=2", "training.bin_tokens=128", "training.max_length=128")
    began = time.time()
    bench.monkeypatch.setattr("engine.training.trainer.eval_subset", lambda examples, *_: examples[:])
    assert bench.go(window_s=60.0, manual=True, overrides=small) == ExitCode.FINISHED
    assert time.time() - began < 65.0, "no second piece of it was begun"
    (cut,) = [event for event in bench.events(EvalCompleted) if event.step == 2]
    assert cut.loss is None
    assert cut.targets > 0, "some of it was done"
    (stopped,) = bench.events(RunStopped)
    assert (stopped.reason, stopped.step) == (Reason.DEADLINE, 2)
    assert (bench.run / "MANIFEST.json").is_file()


def test_a_machine_that_slows_down_still_judges_the_whole_validation_set_in_time(bench, clock):
    steps: list[bool] = []

    def factor() -> float:
        return 3.0 if len(steps) > 12 else 1.0

    clock.costing(bench, STEP, lambda: steps.append(True) or 0.6 * factor())
    clock.costing(bench, BIN, lambda: 2.0 * factor())
    clock.costing(bench, "engine.quality.gated.evaluate_bin", lambda: 0.2 * factor())
    long = ("training.num_train_epochs=50", "training.warmup_steps=0", "safety.enable_early_stopping=false")
    small = ("training.bin_tokens=128", "training.max_length=128", "training.eval_steps=10")
    bench.monkeypatch.setattr("engine.training.trainer.eval_subset", lambda examples, *_: examples[:1])
    began = time.time()
    assert bench.go(window_s=120.0, manual=True, overrides=(*long, *small)) == ExitCode.FINISHED
    assert time.time() - began < 120.0
    assert bench.events(RunStopped)[-1].reason is Reason.DEADLINE
    assert len(steps) > 18
    last = bench.events(EvalCompleted)[-1]
    assert last.scope == "full"
    assert last.loss is not None
