"""Who is told: training.log, the console or the journal's lines on stdout, W&B, and the watchers that emit."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from typing import TextIO

from engine.training.session import Session
from engine.watch.console import Console
from engine.watch.logfile import LogFile
from engine.watch.messages import MessageHandler
from engine.watch.telemetry import Telemetry
from engine.watch.tracker import Tracker


def open_sinks(stack: ExitStack, session: Session, *, json: bool, quiet: bool) -> None:
    """Subscribe everything; taken down in reverse when `stack` closes, after the last event."""
    bus = session.bus
    logfile = stack.enter_context(LogFile(session.rundir.log))
    bus.subscribe("training.log", logfile)
    if not quiet:
        stream = _own_stdout(stack) if json else sys.stdout
        bus.subscribe("console", Console(stream, json=json))
    tracker = Tracker.open(session.config.wandb, session.rundir, bus)
    if tracker is not None:
        bus.subscribe("wandb", tracker)
        stack.callback(tracker.close)
    handler = MessageHandler(bus)
    logging.getLogger().addHandler(handler)
    stack.callback(logging.getLogger().removeHandler, handler)
    logging.captureWarnings(capture=True)
    stack.callback(logging.captureWarnings, capture=False)
    telemetry = Telemetry(bus, session.rundir.path)
    telemetry.start()
    stack.callback(telemetry.stop)


def _own_stdout(stack: ExitStack) -> TextIO:
    """A stream of our own on descriptor 1's target; 1 itself goes to stderr, because libraries print to it."""
    sys.stdout.flush()
    stream = stack.enter_context(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    return stream
