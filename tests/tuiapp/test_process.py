"""The cockpit as a process: what it must never load, and how it leaves a terminal behind."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import ModuleType

import pexpect
import pytest
from pexpect import fdpexpect

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


class Viewer:
    """A cockpit on a terminal of 80 x 24. No fork of this process: it may have threads."""

    def __init__(self, home: Path) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", VIEWER.format(root=str(ROOT), home=str(home))],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(slave)
        self.screen = fdpexpect.fdspawn(master, timeout=30, encoding="utf-8")

    def until(self, word: str) -> None:
        self.screen.expect(word)

    def ending(self) -> tuple[int, str]:
        """The exit code, and all that came after the last word waited for."""
        self.screen.expect(pexpect.EOF)
        text = self.screen.before
        self.screen.close()
        return self.process.wait(timeout=10), text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_restores_the_terminal(number: signal.Signals, code: int, tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    with home.hold_lock():
        viewer = Viewer(tmp_path)
        viewer.until("LIVE")
        viewer.process.send_signal(number)
        left, text = viewer.ending()
    assert left == code
    assert LEAVE_ALTERNATE_SCREEN in text
    assert SHOW_CURSOR in text
    assert "attach again: python run.py attach" in text


def test_detaching_leaves_a_receipt_and_no_trace_on_the_run(tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    before = home.events.read_bytes()
    with home.hold_lock():
        viewer = Viewer(tmp_path)
        viewer.until("LIVE")
        viewer.screen.send("q")
        left, text = viewer.ending()
    assert left == 0
    assert "Training goes on" in text
    assert home.events.read_bytes() == before


def test_a_run_that_is_gone_is_lost_and_leaves_with_one(tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    viewer = Viewer(tmp_path)
    viewer.until("LOST")
    viewer.screen.send("q")
    left, text = viewer.ending()
    assert left == 1
    assert "without a last record" in text


def test_a_terminal_that_is_gone_without_a_word_ends_the_cockpit(tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    with home.hold_lock():
        viewer = Viewer(tmp_path)
        viewer.until("LIVE")
        viewer.screen.close()
        assert viewer.process.wait(timeout=10) == 128 + signal.SIGHUP


def test_a_cockpit_that_was_stopped_and_continued_still_hears_every_key(tmp_path: Path, tales: ModuleType) -> None:
    home = RunDir(tmp_path)
    home.events.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO, until=20, ended=False))))
    with home.hold_lock():
        viewer = Viewer(tmp_path)
        viewer.until("LIVE")
        viewer.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        viewer.process.send_signal(signal.SIGCONT)
        viewer.until("\\x1b\\[\\?1049h")
        viewer.until("LIVE")
        for _ in range(6):
            viewer.screen.send("?")
            viewer.until("Stint cockpit")
            viewer.screen.send("\x1b")
            viewer.until("LIVE")
        viewer.screen.send("q")
        viewer.until("Training goes on")
        assert viewer.process.wait(timeout=10) == 0
        assert termios.tcgetattr(viewer.screen.fileno())[3] & termios.ECHO, "the shell gets its terminal back"
        viewer.ending()
