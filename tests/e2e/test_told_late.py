"""Where the device works while the host goes on, a step is told one step late; the journal shows nothing of it."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from safetensors.torch import load_file

from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training.step import take_step
from states.commands import Abort, Checkpoint, Pause, Unpause
from states.events import (
    CheckpointCompleted,
    CheckpointStarted,
    CommandApplied,
    EvalCompleted,
    EvalStarted,
    ExpertsSampled,
    MemoryReduced,
    PhaseChanged,
    RunFailed,
    RunPaused,
    RunStopped,
    StepCompleted,
    StepRejected,
)
from states.phases import ExitCode, Reason

KINDS = (
    StepCompleted, StepRejected, EvalStarted, EvalCompleted, CheckpointStarted, CheckpointCompleted, PhaseChanged,
    ExpertsSampled, CommandApplied, RunPaused, RunStopped,
)  # fmt: skip
STEP = "engine.training.memory.take_step"
CLOCKED = ("_s", "_wall", "bytes")


@pytest.fixture
def late(bench, unsynced):
    """The bench as on a CUDA device: a step is told after the next one was begun."""
    bench.monkeypatch.setattr("engine.training.reporting.held_back", lambda _trainer: 1)
    return bench


def poisoned(calls):
    """`take_step` with a gradient that is not a number at the given calls."""
    seen = 0

    def step(trainer, examples, **rest):
        nonlocal seen
        seen += 1
        if seen not in calls:
            return take_step(trainer, examples, **rest)
        kept = trainer.adapted.embeddings.weight.data
        trainer.adapted.embeddings.weight.data = torch.full_like(kept, math.nan)
        try:
            return take_step(trainer, examples, **rest)
        finally:
            trainer.adapted.embeddings.weight.data = kept

    return step


def story(bench):
    """Every fact of the run in its order, without what a clock says."""
    told = []
    for record in read(RunDir(bench.run).events):
        if isinstance(record.event, KINDS):
            facts = {name: getattr(record.event, name) for name in record.event.__slots__ if not name.endswith(CLOCKED)}
            told.append((record.event.kind, facts))
    return told


def tensors(bench):
    last = RunDir(bench.run).checkpoints()[-1]
    return {
        f"{path.name}:{name}": tensor for path in last.glob("*.safetensors") for name, tensor in load_file(path).items()
    }


def test_steps_told_late_leave_the_same_journal_and_the_same_model(bench, unsynced):
    orders = {3: [Checkpoint()], 7: [Pause(), Unpause()]}
    found = []
    for lag in (0, 1):
        with bench.monkeypatch.context() as patch:
            patch.setattr("engine.training.reporting.held_back", lambda _trainer, lag=lag: lag)
            patch.setattr(STEP, poisoned({4, 6}))
            bench.at_boundary(orders)
            assert bench.go() == ExitCode.FINISHED
        bench.monkeypatch.undo()
        found.append((story(bench), tensors(bench)))
        shutil.rmtree(bench.run)
    (facts, weights), (late_facts, late_weights) = found
    assert [event["step"] for kind, event in facts if kind == "step.rejected"] == [4, 6]
    assert late_facts == facts
    assert late_weights.keys() == weights.keys()
    assert all(torch.equal(late_weights[name], weights[name]) for name in weights)


def test_a_step_is_told_after_the_next_was_begun_and_before_what_follows_it(late):
    told = []
    late.monkeypatch.setattr(
        STEP, lambda *args, **rest: told.append(len(late.events(StepCompleted))) or take_step(*args, **rest)
    )
    assert late.go(overrides=("training.eval_steps=4",)) == ExitCode.FINISHED
    behind = [taken - seen for taken, seen in enumerate(told)]
    assert set(behind) == {0, 1}, "never more than one"
    assert sum(behind) >= len(told) // 3, "and no fewer without need"
    assert behind[4::4] == [0] * len(behind[4::4]), "after an evaluation everything is told"
    assert len(late.events(StepCompleted)) == len(told)


def test_an_abort_leaves_no_step_untold(late):
    late.at_boundary({4: [Abort()]})
    assert late.go() == ExitCode.CANCELLED
    assert [event.step for event in late.events(StepCompleted)] == [1, 2, 3]


def test_too_many_rejected_steps_end_the_run_a_step_later(late):
    late.monkeypatch.setattr(STEP, poisoned({5, 6, 7}))
    assert late.go() == ExitCode.ERROR
    assert [event.streak for event in late.events(StepRejected)] == [1, 2, 3]
    (failed,) = late.events(RunFailed)
    assert "at step 7" in failed.message


def test_an_abort_is_one_though_the_step_that_it_finds_untold_was_one_rejection_too_many(late):
    late.monkeypatch.setattr(STEP, poisoned({5, 6, 7}))
    late.at_boundary({8: [Abort()]})
    assert late.go(overrides=("training.eval_steps=4",)) == ExitCode.CANCELLED
    assert [event.step for event in late.events(StepRejected)] == [5, 6, 7]
    assert [event.reason for event in late.events(RunStopped)] == [Reason.OPERATOR]
    assert not late.events(RunFailed)


def test_a_step_told_while_memory_runs_out_keeps_its_seconds(late):
    taken, told = 0, []

    def step(*args, **rest):
        nonlocal taken
        known = len(late.events(StepCompleted))
        if not told and known < taken:
            told.append(known)
            raise torch.OutOfMemoryError("out of memory")
        if len(told) == 1:
            told.append(known)
        taken += 1
        return take_step(*args, **rest)

    late.monkeypatch.setattr(STEP, step)
    assert late.go(overrides=("training.eval_steps=4",)) == ExitCode.FINISHED
    assert told[1] == told[0] + 1, "the step before was told between the two"
    assert late.events(MemoryReduced)
    seconds = sum(event.step_s for event in late.events(StepCompleted))
    assert late.events(RunStopped)[-1].trained_s == pytest.approx(seconds)
