"""Who is told: training.log, the console or the journal's lines on stdout, W&B; and who tells of its own accord."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TextIO

from engine.training.session import Session
from engine.watch.console import Console
from engine.watch.host import Host
from engine.watch.logfile import LogFile
from engine.watch.messages import record_messages
from engine.watch.nvml import Nvml
from engine.watch.telemetry import Telemetry
from engine.watch.tracker import Tracker


def open_sinks(stack: ExitStack, session: Session, *, json: bool, quiet: bool) -> None:
    """Subscribe everything; taken down in reverse when `stack` closes, after the last event."""
    bus = session.bus
    every = session.config.training.logging_steps
    logfile = LogFile(session.rundir.log, every=every)
    stack.callback(logfile.close)
    bus.subscribe("training.log", logfile)
    if not quiet:
        stream = _own_stdout(stack) if json else sys.stdout
        console = Console(stream, every=every, json=json)
        stack.callback(console.close)
        bus.subscribe("console", console)
    tracker = Tracker(session.rundir, session.config.wandb)
    stack.callback(tracker.close)
    bus.subscribe("tracker", tracker)


def open_watchers(stack: ExitStack, session: Session) -> None:
    """Start what emits from threads of its own. The journal must have been opened: its first record says what it is."""
    bus = session.bus
    stack.enter_context(record_messages(bus))
    nvml = Nvml.open()
    if nvml is not None:
        stack.callback(nvml.close)
    stack.enter_context(Telemetry(bus, nvml, Host(session.rundir.path)))


def _own_stdout(stack: ExitStack) -> TextIO:
    """A stream of our own on descriptor 1's target; 1 itself goes to stderr, because libraries print to it."""
    sys.stdout.flush()
    stream = stack.enter_context(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    return stream
