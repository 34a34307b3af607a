"""Real engines in processes of their own, and a real pseudo terminal with somebody in front of it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte

from engine.run.journal import read
from engine.run.rundir import RunDir
from states.events import Event, Record
from states.reducer import fold
from states.view import RunView

RUN = Path(__file__).resolve().parents[2] / "run.py"
PATIENCE_S = 60.0
"""For what takes a few seconds on an idle machine."""
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes standard input the controlling terminal of this session, then becomes another program."""
TICKS = os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> float:
    """Poll until `condition`; the seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"{seconds:g} s passed without {what}"
        time.sleep(0.03)
    return time.monotonic() - began


def noisy(seconds: float) -> float:
    """A bound for an idle machine, on one whose processors are wanted by others too."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def cpu_s(pid: int) -> float:
    """CPU-seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def maps(pid: int) -> str:
    """What is mapped into a process: its libraries among it."""
    return Path(f"/proc/{pid}/maps").read_text()


def lasting_config(folder: Path, base: Path, dataset: Path, run: Path, **training: Any) -> Path:
    """A configuration of small steps that last for minutes: nothing ends a test's run but the test."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "base_model": str(base),
        "dataset": str(dataset),
        "output_dir": str(run),
        "num_train_epochs": 1000,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-4,
        "warmup_steps": 3,
        "eval_steps": 4000,
        "logging_steps": 10,
        "max_length": 256,
        "bin_tokens": 256,
        "threads": 1,
        "device": "cpu",
        "dtype": "float32",
        "max_training_hours": 1.0,
    }
    (folder / "training_config.json").write_text(json.dumps(settings | training))
    (folder / "moe_training_config.json").write_text("{}")
    (folder / "safety_config.json").write_text(json.dumps({"enable_early_stopping": False}))
    return folder


def stint(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """`python run.py ...` on no terminal, to its end."""
    command = [sys.executable, str(RUN), *map(str, words)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@dataclass
class Run:
    """A run directory as somebody beside it sees it."""

    path: Path
    config: Path

    @property
    def rundir(self) -> RunDir:
        return RunDir(self.path)

    @property
    def records(self) -> list[Record]:
        return list(read(self.rundir.events)) if self.rundir.events.exists() else []

    @property
    def view(self) -> RunView:
        return fold(self.records)

    @property
    def pid(self) -> int:
        engine = self.rundir.read_engine()
        assert engine is not None
        return engine.pid

    def events(self, *kinds: type[Any]) -> list[Event]:
        return [record.event for record in self.records if isinstance(record.event, kinds)]

    def steps(self) -> int:
        """Step records so far, over all attempts; counted by their bytes, because this is asked often."""
        return self.rundir.events.read_bytes().count(b'"kind":"step.completed"') if self.rundir.events.exists() else 0

    def trains(self, steps: int = 3) -> None:
        """Wait until so many more steps are done."""
        before = self.steps()
        wait_for(lambda: self.steps() >= before + steps, f"{steps} more steps in {self.path}")

    def kill(self) -> None:
        """SIGKILL the engine if one lives, and wait until its lock is free."""
        if self.rundir.is_live():
            os.kill(self.pid, signal.SIGKILL)
            wait_for(lambda: not self.rundir.is_live(), "the lock of a killed engine", 10)


class Terminal:
    """One `python run.py ...` in a terminal of its own. Nothing forks this process: torch has given it threads."""

    def __init__(self, *words: str | Path, columns: int = 80, rows: int = 24) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", OWN_TERMINAL, sys.executable, str(RUN), *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "TZ": "UTC", "LANG": "C.UTF-8"},
        )
        os.close(slave)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        """The screen at this moment."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def look(self, seconds: float = 0.05) -> bool:
        """Take in what arrives within `seconds`; False once the program has closed its terminal."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return True

    def until(self, wanted: str, seconds: float = PATIENCE_S, *, gone: bool = False) -> float:
        """Look until the pattern `wanted` is on the screen (or gone from it); seconds since the terminal opened."""
        pattern, late = re.compile(wanted), time.monotonic() + seconds
        while bool(pattern.search(self.text)) is gone:
            open_ = self.look()
            done = bool(pattern.search(self.text)) is not gone
            assert done or (open_ and time.monotonic() < late), (
                f"{f'{seconds:g} s passed' if open_ else 'it left'}, still waiting for {wanted!r}"
                f"{' to go' if gone else ''}:\n{self.text}"
            )
        took = time.monotonic() - self.began
        while self._arriving():
            pass  # the rest of the frame
        return took

    def _arriving(self) -> bool:
        before = len(self.raw)
        return self.look(0.03) and len(self.raw) > before

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def press(self, keys: str, wanted: str, *, gone: bool = False) -> None:
        """Type, and wait for what it brings."""
        self.type(keys)
        self.until(wanted, gone=gone)

    def leave(self, keys: str = "q") -> int:
        """Type `keys` and wait for the program to end; its exit code."""
        self.type(keys)
        late = time.monotonic() + PATIENCE_S
        while self.look():
            assert time.monotonic() < late, f"it stays:\n{self.text}"
        return self.process.wait(PATIENCE_S)

    def hang_up(self) -> int:
        """Close the window, so that the kernel sends SIGHUP to what runs in it; its exit code."""
        os.close(self._master)
        self._master = -1
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Whatever is left of it goes."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        self.process.kill()
        self.process.wait()
