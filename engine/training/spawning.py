"""Starting a detached engine for a decided launch, and waiting until it stands on its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from engine.run.rundir import RunDir
from engine.run.spawn import spawn
from engine.training.launch import LAUNCH_FILE, Launch
from states.phases import ExitCode
from states.text import clean

PATIENCE_S = 60.0
"""An engine that has opened no journal by then is broken: importing torch took 8 s on a slow machine."""
LISTEN_S = 5.0
"""An engine that trains and still has no control socket is on a file system without them."""
LAST_WORDS_BYTES = 4000
LAST_LINES = 6
"""Of an engine that a signal ended: what it printed before matters less than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An engine process of ours, and where its words begin."""

    process: subprocess.Popen[bytes]
    rundir: RunDir
    words_from: int = 0
    """Bytes of engine.out that earlier attempts left."""


def start_engine(launch: Launch) -> Started:
    """Make the run directory, leave the launch in it, and start the engine in a session of its own."""
    rundir = RunDir(launch.directory)
    rundir.create()
    # Named after this process: of two starts at the same moment, neither engine reads the other's.
    path = rundir.path / f"{LAUNCH_FILE}-{os.getpid()}"
    path.write_bytes(launch.to_json())
    before = rundir.engine_out.stat().st_size if rundir.engine_out.exists() else 0
    process = spawn(["train", "--no-tui", "--launch-file", str(path)], rundir)
    return Started(process=process, rundir=rundir, words_from=before)


def told(path: Path) -> Launch:
    """What a spawned engine was told. The file goes with that: config.resolved.json is what stays of it."""
    launch = Launch.read(path)
    path.unlink()
    return launch


def wait_until_open(started: Started) -> int:
    """0 once this engine holds its run and listens; else its exit code, or an error code when nothing comes of it."""
    ends = time.monotonic() + PATIENCE_S
    held: float | None = None
    while (now := time.monotonic()) < ends:
        code = started.process.poll()
        if code is not None:
            return code if code >= 0 else 128 - code
        card = started.rundir.read_engine()
        # The card of an attempt before, or of another start at the same moment, bears another pid.
        if card is not None and card.pid == started.process.pid and started.rundir.is_live():
            held = held or now
            if card.socket or now - held > LISTEN_S:
                return 0
        time.sleep(0.05)
    return int(ExitCode.ERROR)


def last_words(started: Started) -> str | None:
    """How an engine died and the end of what it printed; None while it lives."""
    code = started.process.poll()
    if code is None:
        return None
    try:
        printed = started.rundir.engine_out.read_bytes()[started.words_from :][-LAST_WORDS_BYTES:]
    except OSError:
        printed = b""
    words = clean(printed.decode(errors="replace").strip())
    if code == -signal.SIGKILL:
        return "The engine was killed (SIGKILL): by a person, or by the system when memory ran out."
    if code < 0:
        return "\n".join([f"The engine was ended by {_name(-code)}.", *words.splitlines()[-LAST_LINES:]])
    return words or f"The engine ended with exit code {code} and said nothing."


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
