"""The two ways in: watch a run, or play one back. Nothing but what the first frame needs is imported on the way."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from engine.run.client import Client
from engine.run.rundir import RunDir
from tuiapp.cockpit import Cockpit
from tuiapp.live import LiveCockpit
from tuiapp.orders import Desk, Presence
from tuiapp.receipt import receipt
from tuiapp.source import LiveSource


def run_live(rundir: Path, *, attach_command: str, launcher_error: Callable[[], str | None] | None = None) -> int:
    """Show the run in `rundir` until the user leaves; returns the exit code for the shell.

    With `launcher_error` an engine was just started: the screen is up before its directory is, and that function tells
    the engine's last words once it has died without a record. Returns 0 on detach, the run's own code after its end, 1
    when it is lost or never came up, 128 + n on signal n.
    """
    home = RunDir(rundir)
    source = LiveSource(home, launched=launcher_error is not None, launcher_error=launcher_error)
    app = LiveCockpit(source, Desk(Client(home)), presence=Presence(home), link=source.link, home=str(rundir))
    code = _run(app)
    with contextlib.suppress(OSError):
        sys.stdout.write("".join(f"{line}\n" for line in receipt(app.frame(), attach_command)))
        sys.stdout.flush()
    return code


def run_replay(events: Path, *, speed: float, at: float | None) -> int:
    """Play the journal `events` from `at` seconds after its first record, until the user leaves."""
    from tuiapp.playback import ReplayCockpit
    from tuiapp.replay import ReplaySource
    from tuiapp.tape import Tape

    tape = Tape(events)
    return _run(ReplayCockpit(ReplaySource(tape, speed=speed, at=at), home=str(events.parent)))


def _run(app: Cockpit) -> int:
    # Without mouse reports the terminal keeps its own selection and copying, and an idle hand sends nothing over SSH.
    code = app.run(mouse=False)
    return code if code is not None else app.return_code or 0
