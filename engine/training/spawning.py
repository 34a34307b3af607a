"""Starting a detached engine for a decided launch, and waiting until it stands on its own."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from engine.run.rundir import RunDir
from engine.run.spawn import spawn
from engine.training.launch import LAUNCH_FILE, Launch
from states.phases import ExitCode
from states.text import clean

PATIENCE_S = 60.0
"""An engine that has opened no journal by then is broken: importing torch took 8 s on a slow machine."""
LAST_WORDS_BYTES = 4000


def start_engine(launch: Launch) -> subprocess.Popen[bytes]:
    """Make the run directory, leave the launch in it, and start the engine in a session of its own."""
    rundir = RunDir(launch.directory)
    rundir.create()
    # Named after this process: of two starts at the same moment, neither engine reads the other's.
    path = rundir.path / f"{LAUNCH_FILE}-{os.getpid()}"
    path.write_bytes(launch.to_json())
    return spawn(["train", "--no-tui", "--launch-file", str(path)], rundir)


def told(path: Path) -> Launch:
    """What a spawned engine was told. The file goes with that: config.resolved.json is what stays of it."""
    launch = Launch.read(path)
    path.unlink()
    return launch


def wait_until_open(process: subprocess.Popen[bytes], directory: Path) -> int:
    """0 once the engine holds its run; else its exit code, or an error code when it says nothing for a minute."""
    rundir = RunDir(directory)
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        code = process.poll()
        if code is not None:
            return code
        if rundir.is_live() and rundir.events.is_file():
            return 0
        time.sleep(0.05)
    return int(ExitCode.ERROR)


def last_words(process: subprocess.Popen[bytes], directory: Path) -> str | None:
    """The end of what a dead engine printed; None while it lives."""
    if process.poll() is None:
        return None
    try:
        printed = RunDir(directory).engine_out.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace")
    except OSError:
        printed = ""
    return clean(printed.strip()) or f"The engine ended with exit code {process.returncode} and said nothing."
