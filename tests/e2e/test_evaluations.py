"""What an evaluation means: for patience, for a run that learns nothing finite, and when memory is short."""

from __future__ import annotations

import time
from pathlib import Path

import orjson
import pytest
import torch

from states.commands import Checkpoint, Evaluate
from states.events import (
    CheckpointCompleted,
    CommandApplied,
    EarlyStopTriggered,
    EvalCompleted,
    MemoryReduced,
    RunFailed,
    RunStopped,
)
from states.phases import Cause, ExitCode, Outcome, Reason

pytestmark = pytest.mark.usefixtures("unsynced")

EVERY_STEP = ("training.eval_steps=1",)


def test_evaluations_that_a_person_asks_for_cost_no_patience(bench):
    bench.at_boundary({number: [Evaluate()] for number in (4, 5, 6)})  # after 3, 4 and 5 steps
    bench.evaluations([9.0, 1.0, *[2.0] * 20])
    patient = ("training.eval_steps=2", "safety.early_stopping_patience=2")
    assert bench.go(manual=True, overrides=patient) == ExitCode.FINISHED
    assert len(bench.events(CommandApplied)) == 3
    (stopped,) = bench.events(EarlyStopTriggered)
    # The best is of step 2; without improvement are the evaluations of steps 4 and 6 and nobody else's.
    assert (stopped.best_step, stopped.step) == (2, 6)


def test_an_evaluation_that_a_person_asks_for_may_find_the_best(bench):
    bench.at_boundary({4: [Evaluate()]})
    bench.evaluations([9.0, 3.0, 1.0, *[2.0] * 20])
    few = ("training.eval_steps=2", "training.per_device_train_batch_size=16")
    assert bench.go(manual=True, overrides=few) == ExitCode.FINISHED
    (stopped,) = bench.events(RunStopped)
    assert (stopped.best_step, stopped.best_loss) == (3, 1.0)
    saved = [event.step for event in bench.events(CheckpointCompleted) if event.cause is Cause.BEST]
    assert saved == [2, 3]


def test_a_checkpoint_asked_for_at_the_best_step_stays_the_best(bench):
    bench.at_boundary({3: [Checkpoint()]})
    bench.evaluations([9.0, 3.0, 1.0, 5.0, 1.0])
    few = (*EVERY_STEP, "training.per_device_train_batch_size=16", "training.num_train_epochs=1")
    assert bench.go(manual=True, overrides=few) == ExitCode.FINISHED
    again = [event for event in bench.events(CheckpointCompleted) if event.step == 2]
    assert [(event.cause, event.eval_loss, event.best) for event in again] == [
        (Cause.BEST, 1.0, True),
        (Cause.OPERATOR, 1.0, True),
    ]
    assert orjson.loads((bench.run / "MANIFEST.json").read_bytes())["source"] == "checkpoint-2"


def test_a_run_whose_evaluations_are_none_of_them_finite_is_an_error(bench):
    bench.evaluations([9.0, *[None] * 20])
    assert bench.go(manual=True, overrides=EVERY_STEP) == ExitCode.ERROR
    (failed,) = bench.events(RunFailed)
    assert "had a finite loss" in failed.message
    assert "learning_rate" in failed.message
    (stopped,) = bench.events(RunStopped)
    assert (stopped.outcome, stopped.reason) == (Outcome.FAILED, Reason.ERROR)
    assert stopped.step == 3, "as many as patience allows, not the whole window"
    assert not (bench.run / "MANIFEST.json").exists()


@pytest.mark.parametrize(
    "target", ["engine.training.calibrate.forward_loss", "engine.training.evaluate.evaluate_bin"], ids=["speed", "loss"]
)
def test_out_of_memory_before_the_first_step_halves_the_bins(bench, target):
    module, name = target.rsplit(".", 1)
    original = getattr(__import__(module, fromlist=[name]), name)

    def limited(adapted, piece, **rest):
        if piece.tokens > 150:
            raise torch.OutOfMemoryError("out of memory")
        return original(adapted, piece, **rest)

    bench.monkeypatch.setattr(target, limited)
    few = ("training.per_device_train_batch_size=16", "training.num_train_epochs=1")
    assert bench.go(manual=True, overrides=few) == ExitCode.FINISHED
    reduced = bench.events(MemoryReduced)
    assert reduced
    assert {event.step for event in reduced} == {0}
    assert bench.events(EvalCompleted)[0].loss is not None
    assert bench.events(EvalCompleted)[-1].loss is not None


@pytest.mark.parametrize("when", ["the journal", "a step"])
def test_the_command_at_the_end_runs_when_the_engine_fails(bench, when, tmp_path):
    from engine.run.journal import Journal, JournalError

    def broken(*_) -> None:
        raise JournalError("the journal cannot be written (Input/output error)")

    def fail() -> None:
        if when == "a step":
            raise RuntimeError("the card fell off the bus")
        bench.monkeypatch.setattr(Journal, "append", broken)

    told = tmp_path / "told"
    bench.at("engine.training.memory.take_step", fail, call=2)
    command = f'safety.on_finish=["sh", "-c", "echo $STINT_EXIT_CODE $STINT_RUN_DIR > {told}"]'
    if when == "a step":
        assert bench.go(overrides=(command,)) == ExitCode.ERROR
    else:
        with pytest.raises(JournalError):
            bench.go(overrides=(command,))
    code, directory = told.read_text().split()
    assert int(code) == ExitCode.ERROR
    assert Path(directory) == bench.run


def test_a_command_at_the_end_that_hangs_is_left_behind(bench, capfd):
    began = time.monotonic()
    bench.at("engine.training.memory.take_step", lambda: 1 / 0)
    hangs = ('safety.on_finish=["sleep", "60"]', "safety.on_finish_timeout_s=1")
    assert bench.go(overrides=hangs) == ExitCode.ERROR
    assert time.monotonic() - began < 30.0
    assert "on_finish did not run to its end" in capfd.readouterr().out


def test_what_the_command_at_the_end_started_ends_with_it(bench, tmp_path):
    bench.at("engine.training.memory.take_step", lambda: 1 / 0)
    pid = tmp_path / "pid"
    command = f'safety.on_finish=["sh", "-c", "sleep 60 & echo $! > {pid}; wait"]'
    assert bench.go(overrides=(command, "safety.on_finish_timeout_s=1")) == ExitCode.ERROR
    status = Path(f"/proc/{int(pid.read_text())}/stat")
    ends = time.monotonic() + 10.0
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < ends:
        time.sleep(0.05)
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"
