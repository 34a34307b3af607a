"""The engine that is measured and the cockpit that watches it, each a real process as a person would start it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.run.client import Client, Unreachable
from engine.run.follower import Follower
from engine.run.rundir import RunDir
from states.commands import Abort
from states.events import StepCompleted

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "configs" / "demo"
PATIENCE_S = 120.0
POLL_S = 0.004
"""A boundary is seen at most this late, in rounds of seconds."""
ROWS, COLUMNS = 45, 160
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "10000", "WANDB_MODE": "disabled"}


def settings(place: Path, conversations: int, *, epochs: int = 1000) -> Path:
    """Write into `place` the configuration of a run on the demo's model, one short conversation a step."""
    rows = json.loads((DEMO / "conversations.json").read_text())["conversations"]
    shortest = sorted(rows, key=lambda row: len(row["text"]))[:conversations]
    (place / "conversations.json").write_text(json.dumps({"conversations": shortest}))
    # The plan evaluates now and then whatever is asked; so little that no round shows it.
    (place / "validation.json").write_text(json.dumps({"conversations": shortest[:1]}))
    training = {
        "base_model": str(DEMO / "base"),
        "dataset": str(place / "conversations.json"),
        "validation_dataset": str(place / "validation.json"),
        "output_dir": str(place / "run"),
        "num_train_epochs": epochs,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "warmup_steps": 1,
        "eval_steps": 1_000_000,
        "max_length": 512,
        "bin_tokens": 512,
        "threads": 1,
        "dtype": "float32",
        "device": "cpu",
        "max_training_hours": 3,
    }
    safety = {"enable_early_stopping": False, "checkpoint_interval_minutes": 1440}
    (place / "training_config.json").write_text(json.dumps(training))
    (place / "safety_config.json").write_text(json.dumps(safety))
    return place


class Engine:
    """A detached engine on the demo's model. One step is one short conversation, so that an epoch is soon over.

    Every epoch trains on the same conversations: rounds of whole epochs do the same work.
    """

    def __init__(self, place: Path, conversations: int) -> None:
        self.rundir = RunDir(place / "run")
        self._follower = Follower(self.rundir.events)
        self.steps = 0
        settings(place, conversations)
        command = [sys.executable, str(ROOT / "run.py"), "--config", str(place), "--detach"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT})

    @property
    def pid(self) -> int:
        """The engine's process."""
        engine = self.rundir.read_engine()
        if engine is None:
            raise RuntimeError("the engine left no card")
        return engine.pid

    def reach(self, step: int) -> None:
        """Return as soon as `step` is recorded."""
        late = time.monotonic() + PATIENCE_S
        while self.steps < step:
            for record in self._follower.poll():
                if isinstance(record.event, StepCompleted):
                    self.steps = record.event.step
            if time.monotonic() > late:
                raise RuntimeError(f"step {step} was not reached; see {self.rundir.engine_out}")
            time.sleep(POLL_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(Unreachable):
            Client(self.rundir).send(Abort(), PATIENCE_S)
        self._follower.close()


class Viewer:
    """`run.py attach` in a pseudo terminal whose other end reads everything, as an SSH client does."""

    def __init__(self, run: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.bytes_painted = 0
        self._seen = b""
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "attach", str(run)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The cockpit's process."""
        return self._process.pid

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:
                return
            if not data:
                return
            self.bytes_painted += len(data)
            self._seen = (self._seen + data)[-(1 << 16) :]

    def wait_until_live(self) -> None:
        """Return once the run is on the screen."""
        late = time.monotonic() + PATIENCE_S
        while b"LIVE" not in self._seen:
            if time.monotonic() > late or self._process.poll() is not None:
                raise RuntimeError("the cockpit did not show the run")
            time.sleep(0.02)

    def leave(self) -> None:
        """Detach with the key for it."""
        os.write(self._master, b"q")
        if self._process.wait(PATIENCE_S) != 0:
            raise RuntimeError("the cockpit did not leave in peace")
        self._reader.join(PATIENCE_S)
        os.close(self._master)
