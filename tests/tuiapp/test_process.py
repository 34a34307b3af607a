"""The cockpit as a process: what it must never load, and how it leaves a terminal behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pexpect
import pytest

from engine.run.rundir import RunDir
from states.codec import encode

ROOT = Path(__file__).parents[2]
VIEWER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tuiapp.app import run_live
sys.exit(run_live(Path({home!r}), attach_command="python run.py attach"))
"""
LEAVE_ALTERNATE_SCREEN = "\x1b[?1049l"
SHOW_CURSOR = "\x1b[?25h"


def test_the_cockpit_never_loads_what_trains() -> None:
    heavy = ("torch", "transformers", "pydantic", "wandb", "numpy")
    code = f"import tuiapp.app, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def viewer(home: Path) -> pexpect.spawn:
    environment = {**os.environ, "TERM": "xterm-256color", "TZ": "UTC"}
    code = VIEWER.format(root=str(ROOT), home=str(home))
    return pexpect.spawn(
        sys.executable, ["-c", code], dimensions=(24, 80), timeout=30, env=environment, encoding="utf-8"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_restores_the_terminal(number: signal.Signals, code: int, tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    with home.hold_lock():
        child = viewer(tmp_path)
        child.expect("LIVE")
        child.kill(number)
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == code
    assert LEAVE_ALTERNATE_SCREEN in child.before
    assert SHOW_CURSOR in child.before
    assert "attach again: python run.py attach" in child.before


def test_detaching_leaves_a_receipt_and_no_trace_on_the_run(tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    before = home.events.read_bytes()
    with home.hold_lock():
        child = viewer(tmp_path)
        child.expect("LIVE")
        child.send("q")
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 0
    assert "Training goes on" in child.before
    assert home.events.read_bytes() == before


def test_a_run_that_is_gone_is_lost_and_leaves_with_one(tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    child = viewer(tmp_path)
    child.expect("LOST")
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
