"""W&B can neither delay nor fail a run, and its own library keeps nothing private."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from configs.wandb import WandbConfig
from engine.run.bus import Bus
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.watch.tracker import Tracker
from states import events as e
from states.phases import Cause
from tests.watch.fake_wandb import FakeWandb, tracker

from .conftest import OPENING, Recorder, step

pytestmark = pytest.mark.usefixtures("nobody")

ROOT = Path(__file__).resolve().parents[2]


def test_its_failure_switches_off_only_itself(bus: Bus, rundir: RunDir) -> None:
    wandb = FakeWandb(fail=("offline",))
    sink = tracker(rundir, wandb)
    bus.subscribe("tracker", sink)
    bus.emit(step(1))
    assert sink._thread is not None
    sink._thread.join(5.0)
    bus.emit(step(2))
    bus.emit(step(3))
    events = [record.event for record in read(rundir.events)]
    assert [event.kind for event in events] == ["step.completed", "step.completed", "sink.disabled", "step.completed"]
    disabled = events[2]
    assert isinstance(disabled, e.SinkDisabled)
    assert (disabled.sink, disabled.error) == ("tracker", "ConnectionError: no route to host")
    assert sink.close()


def test_w_and_b_not_being_installed_is_such_a_failure(bus: Bus, rundir: RunDir) -> None:
    def missing() -> Any:
        raise ModuleNotFoundError("No module named 'wandb'")

    sink = Tracker(rundir, WandbConfig.model_validate({"mode": "offline"}), library=missing)
    bus.subscribe("tracker", sink)
    bus.emit(step(1))
    assert sink._thread is not None
    sink._thread.join(5.0)
    bus.emit(step(2))
    assert "No module named 'wandb'" in str(list(read(rundir.events))[-1].event)


def test_a_server_that_hangs_delays_nobody_and_drops_are_counted(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    wandb.run.blocked = threading.Event()
    sink = tracker(rundir, wandb, max_waiting=5)
    start = time.monotonic()
    for i in range(1, 101):
        sink(record(step(i)))
    assert not sink.close(timeout_s=0.2)
    assert time.monotonic() - start < 5.0
    assert sink.dropped >= 90
    wandb.run.blocked.set()
    assert sink._thread is not None
    sink._thread.join(5.0)
    assert wandb.run.summary["dropped_records"] == sink.dropped


def test_messages_and_failures_never_reach_it(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    for event in (
        *OPENING,
        e.MessageLogged(level="ERROR", logger="x", text="Client: my secret"),
        step(1),
        e.CheckpointCompleted(step=1, path="checkpoint-1", cause=Cause.BEST, bytes=1, save_s=1.0),
    ):
        sink(record(event))
    sink.close()
    assert "secret" not in str((wandb.inits, wandb.run.logged, wandb.run.summary))


REAL = """
import sys
from pathlib import Path
from configs.wandb import WandbConfig
from engine.run.rundir import RunDir
from engine.watch.tracker import Tracker
from states import events as e

run = RunDir(Path(sys.argv[1]))
run.create()
sink = Tracker(run, WandbConfig.model_validate({"project": "therapy", "mode": "offline"}))
assert "wandb" not in sys.modules
for i in range(1, 4):
    sink(e.Record(seq=i, wall=1.8e9 + i, mono=float(i), event=e.StepCompleted(
        step=i, epoch=0.1, loss=2.0, lr=1e-4, grad_norm=1.0, tokens=9, targets=4, step_s=0.1, data_s=0.0)))
print("Therapist: printed by something else", flush=True)
assert sink.close()
print(sink.dropped, sink._failure)
"""


def test_the_real_library_writes_offline_and_keeps_nothing_private(tmp_path: Path) -> None:
    run = tmp_path / "run"
    environment = {**os.environ, "WANDB_API_KEY": "5ec2e7" + "0" * 34, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(run), "--note=argument-of-the-command-line"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1:] == ["0 None"], done.stderr
    assert "wandb" not in done.stdout + done.stderr
    files = [path for path in (run / "wandb").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".wandb" for path in files)
    written = b"".join(path.read_bytes() for path in files)
    assert b"train_loss" in written
    for private in (b"5ec2e7", b"argument-of-the-command-line", b"printed by something else"):
        assert private not in written
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
