"""How a run ends when something is wrong at the end: a damaged best, a full disk, two words at once, a kill."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path

import orjson
import pytest

from engine.checkpoint.errors import CheckpointFailed
from engine.checkpoint.files import Files
from engine.checkpoint.root import verify_root
from states.commands import Abort, Evaluate, Finish, Pause
from states.events import (
    CheckpointSkipped,
    CommandApplied,
    CommandRejected,
    EvalCompleted,
    MessageLogged,
    PhaseChanged,
    RunFailed,
    RunPaused,
    RunStopped,
    RunUnpaused,
    StepCompleted,
)
from states.phases import ExitCode, Outcome, Phase, Reason

pytestmark = pytest.mark.usefixtures("unsynced")

FINALIZE = "engine.training.finalize.evaluate"
SAVE = "engine.training.saving.save"
FEW_STEPS = {
    "manual": True,
    "overrides": (
        "training.per_device_train_batch_size=16",  # three steps an epoch
        "training.num_train_epochs=1",
        "training.eval_steps=1",
    ),
}


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def steps_once(bench) -> bool:
    steps = [event.step for event in bench.events(StepCompleted)]
    return steps == sorted(set(steps))


@pytest.fixture(scope="module")
def ripe(shared_bench):
    """A run with three checkpoints, stopped where only Finalize is left; step 2 is the best and step 1 the next."""
    from engine.training import evaluating

    with pytest.MonkeyPatch.context() as once:
        shared_bench.monkeypatch, kept = once, shared_bench.monkeypatch
        shared_bench.evaluations([9.0, 3.0, 1.0, 5.0])
        shared_bench.go_until(3, **FEW_STEPS)
        shared_bench.monkeypatch = kept
    assert evaluating.evaluate.__name__ == "evaluate"
    names = [path.name for path in sorted(shared_bench.run.glob("checkpoint-*"))]
    assert names == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    return shared_bench


def damage(checkpoint: Path) -> None:
    tensors = checkpoint / "adapter_model.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-3] ^= 1
    tensors.write_bytes(content)


@pytest.mark.parametrize("harm", [damage, shutil.rmtree], ids=["damaged", "missing"])
def test_without_its_best_checkpoint_a_run_publishes_the_next_best_and_warns(bench, ripe, harm):
    shutil.copytree(ripe.run, bench.run)
    bench.config = ripe.config
    harm(bench.run / "checkpoint-2")
    assert bench.go(output_dir=bench.run, resume="auto", **FEW_STEPS) == ExitCode.FINISHED
    assert verify_root(bench.run).ok
    root = orjson.loads((bench.run / "MANIFEST.json").read_bytes())
    assert (root["source"], root["eval_loss"]) == ("checkpoint-1", 3.0)
    assert bench.events(EvalCompleted)[-1].step == 1, "what is judged is what is published"
    warnings = [event.text for event in bench.events(MessageLogged) if event.level == "WARNING"]
    assert any("step 2" in text and "checkpoint-1 takes its place" in text for text in warnings)
    skipped = {event.path for event in bench.events(CheckpointSkipped)}
    assert skipped == ({"checkpoint-2"} if harm is damage else set())


def full(*_, **__) -> None:
    raise CheckpointFailed("No space left on device")


def test_a_signal_with_nothing_on_disk_is_an_error_and_not_resumable(bench):
    bench.monkeypatch.setattr(SAVE, full)
    bench.at("engine.training.memory.take_step", terminate)
    assert bench.go(manual=True) == ExitCode.ERROR
    (failed,) = bench.events(RunFailed)
    assert "Free space" in failed.message
    (stopped,) = bench.events(RunStopped)
    assert (stopped.outcome, stopped.exit_code, stopped.checkpoint) == (Outcome.FAILED, ExitCode.ERROR, None)


def test_a_signal_whose_checkpoint_fails_is_resumable_from_the_one_before(bench):
    from engine.training import saving

    save = saving.save
    bench.monkeypatch.setattr(
        saving, "save", lambda run, step, *rest, **more: (full if step > 1 else save)(run, step, *rest, **more)
    )
    bench.go_until(2, **FEW_STEPS)
    (stopped,) = bench.events(RunStopped)
    assert (stopped.step, stopped.checkpoint) == (2, "checkpoint-1")
    bench.monkeypatch.setattr(saving, "save", save)
    assert bench.go(resume="auto", **FEW_STEPS) == ExitCode.FINISHED
    assert [event.step for event in bench.events(StepCompleted)] == [1, 2, 2, 3]


def test_a_signal_together_with_a_finish_saves_and_leaves_at_once(bench):
    bench.at_boundary({3: [Finish()]}, signalled=3)
    assert bench.go(**FEW_STEPS) == ExitCode.FINISHED
    (stopped,) = bench.events(RunStopped)
    assert (stopped.reason, stopped.step, stopped.checkpoint) == (Reason.OPERATOR, 2, "checkpoint-2")
    assert [event.scope for event in bench.events(EvalCompleted)] == ["full", "subset", "subset"], "nothing was judged"
    assert verify_root(bench.run).ok


def test_two_finishes_at_one_boundary_are_one_and_hurry_nobody(bench):
    bench.at_boundary({3: [Finish(), Finish()]})
    assert bench.go(**FEW_STEPS) == ExitCode.FINISHED
    assert [(event.command, event.step) for event in bench.events(CommandApplied)] == [("finish", 2)] * 2
    last = bench.events(EvalCompleted)[-1]
    assert last.scope == "full"
    assert last.loss is not None


def test_what_waits_behind_a_finish_is_refused_rather_than_forgotten(bench):
    bench.at_boundary({3: [Finish(), Evaluate(), Pause()]})
    assert bench.go(**FEW_STEPS) == ExitCode.FINISHED
    assert [event.command for event in bench.events(CommandApplied)] == ["finish"]
    assert [event.command for event in bench.events(CommandRejected)] == ["evaluate", "pause"]


def test_a_judgement_cut_short_leaves_the_best_its_loss(bench):
    bench.at(FINALIZE, terminate)
    assert bench.go(**FEW_STEPS) == ExitCode.FINISHED
    cut = bench.events(EvalCompleted)[-1]
    assert (cut.scope, cut.loss, cut.best) == ("full", None, False)
    (stopped,) = bench.events(RunStopped)
    assert (bench.view.best.step, bench.view.best.loss) == (stopped.best_step, stopped.best_loss)
    assert stopped.best_loss is not None


def test_an_abort_in_a_pause_books_the_pause(bench):
    bench.monkeypatch.setattr("engine.training.loop.PAUSE_POLL_S", 0.05)
    bench.at_boundary({2: [Pause()], 4: [Abort()]})
    assert bench.go(**FEW_STEPS) == ExitCode.CANCELLED
    assert bench.events(RunPaused)
    (unpaused,) = bench.events(RunUnpaused)
    (stopped,) = bench.events(RunStopped)
    assert stopped.paused_s == unpaused.paused_s > 0.0
    assert (stopped.outcome, stopped.step) == (Outcome.CANCELLED, 1)


class Killed(BaseException):
    """What nothing in the engine survives."""


@pytest.mark.parametrize("renames", [0, 2], ids=["before the first file", "after two files"])
def test_killed_while_publishing_a_run_goes_on_to_publish(bench, ripe, renames):
    shutil.copytree(ripe.run, bench.run)
    bench.config = ripe.config
    rename, done = Files.rename, 0

    def die(files: Files, old: Path, new: Path) -> None:
        nonlocal done
        if new.parent == bench.run and new.is_dir() is old.is_dir() is False:
            done += 1
            if done > renames:
                raise Killed
        rename(files, old, new)

    with pytest.MonkeyPatch.context() as once:
        once.setattr(Files, "rename", die)
        once.setattr("engine.checkpoint.root.discard", lambda *_, **__: None)
        with pytest.raises(Killed):
            bench.go(output_dir=bench.run, resume="auto", **FEW_STEPS)
    assert not verify_root(bench.run).ok
    assert len(bench.events(RunStopped)) == 1, "only the signal's: the kill left no word"

    assert bench.go(output_dir=bench.run, resume="auto", **FEW_STEPS) == ExitCode.FINISHED
    assert verify_root(bench.run).ok
    assert steps_once(bench)
    assert not list(bench.run.glob(".staging-*")), "what the kill left is cleared away"
    assert bench.events(PhaseChanged)[-1].new is Phase.STOPPED


def test_a_disk_that_is_full_for_publishing_fails_the_run_until_there_is_space(bench, ripe):
    shutil.copytree(ripe.run, bench.run)
    bench.config = ripe.config

    def refuse(_files: Files, path: Path, *_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.MonkeyPatch.context() as once:
        once.setattr(Files, "produce", refuse)
        assert bench.go(output_dir=bench.run, resume="auto", **FEW_STEPS) == ExitCode.ERROR
    (failed,) = bench.events(RunFailed)
    assert "No space left" in failed.message
    assert not (bench.run / "MANIFEST.json").exists()

    assert bench.go(output_dir=bench.run, resume="auto", **FEW_STEPS) == ExitCode.FINISHED
    assert verify_root(bench.run).ok
    assert steps_once(bench)
