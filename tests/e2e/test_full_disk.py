"""A disk that fills up while training: the run goes on, says so, keeps what it had and ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.checkpoint.errors import CheckpointFailed as CheckpointRefused
from engine.checkpoint.root import verify_root
from engine.checkpoint.verify import verify
from engine.training.choose import Choice, choose
from states.events import CheckpointCompleted, CheckpointFailed, EvalCompleted, MessageLogged, RunFailed, RunStopped
from states.phases import ExitCode, Outcome

DISK_MIB = 32
LEFT_BYTES = 400_000
"""Room for some hundred records of the journal, but not for a checkpoint."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, a few checkpoints large."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if mounted is None or mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip() if mounted else 'not root'}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, name: str, leave: int = 0) -> None:
    """Take the space of `place` down to `leave` bytes."""
    with open(place / name, "wb", buffering=0) as file:
        while (free := os.statvfs(place).f_bavail * os.statvfs(place).f_frsize) > leave:
            file.write(bytes(min(1 << 16, free - leave)))


def test_a_full_disk_stops_checkpoints_and_not_training(small_disk, lasting, terminal, terminals):
    run = lasting(at=small_disk)
    assert terminals.stint("--config", run.config, "--detach").returncode == 0
    run.trains()
    assert terminals.stint("send", "checkpoint", run.path).returncode == 0
    (saved,) = run.events(CheckpointCompleted)
    screen = terminal("attach", run.path)
    screen.until("LIVE")

    fill(small_disk, "filler")
    terminals.wait_for(lambda: run.events(MessageLogged)[-1].logger == "stint.journal", "a word on the full disk")
    fill(small_disk, "more", leave=LEFT_BYTES)

    screen.press("k", r"checkpoint\s+requested \S accepted \S \S rejected")
    (failed,) = run.events(CheckpointFailed)
    assert "No space left" in failed.error
    screen.until("checkpoint .*could not be written|No space left")
    run.trains()
    assert verify(run.path / saved.path).ok

    screen.press("x", "Stop training")
    screen.press("\r", "ENDED")
    (stopped,) = run.events(RunStopped)
    assert (stopped.outcome, stopped.checkpoint) == (Outcome.FAILED, saved.path), "the last steps are on no disk"
    assert screen.leave() == stopped.exit_code == ExitCode.ERROR
    assert verify(run.path / saved.path).ok
    assert choose(Choice(config=run.config, resume="auto")).resume == "auto", "with space again it can go on"


def failing(bench, allowed: int) -> None:
    """Let the disk take `allowed` checkpoints and no more."""
    import engine.training.saving as saving

    save, calls = saving.save, 0

    def refuse(*arguments: Any, **rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > allowed:
            raise CheckpointRefused("No space left on device")
        return save(*arguments, **rest)

    bench.monkeypatch.setattr(saving, "save", refuse)


def test_a_run_whose_best_model_could_not_be_saved_publishes_the_best_that_could(bench):
    failing(bench, allowed=1)
    assert bench.go() == ExitCode.ERROR
    (kept,) = bench.events(CheckpointCompleted)
    judged = [event for event in bench.events(EvalCompleted) if event.scope == "full"][-1]
    assert judged.step == kept.step, "what was judged is what was kept"
    assert verify_root(bench.run).ok
    (failure,) = bench.events(RunFailed)
    assert f"{kept.path} is published in its place" in failure.message


def test_a_run_that_could_save_nothing_has_failed(bench):
    failing(bench, allowed=0)
    assert bench.go() == ExitCode.ERROR
    (failure,) = bench.events(RunFailed)
    assert "nothing of what was trained is on disk" in failure.message
    assert not (bench.run / "MANIFEST.json").exists()
