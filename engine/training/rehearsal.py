"""A session that leaves nothing behind: for checking a start with the engine's own code, on the disk it would use."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from configs.identity import config_hash
from engine.run.bus import Bus, Clock
from engine.run.inbox import Inbox
from engine.run.journal import Journal
from engine.run.rundir import EngineInfo, RunDir
from engine.run.signals import Flags
from engine.training.launch import Launch
from engine.training.orders import Orders
from engine.training.session import Session
from states.events import Event, Record, Unknown
from states.lifecycle import Lifecycle


def nearest(directory: Path) -> Path:
    """The part of a path that exists, which tells on which disk the rest will lie."""
    wanted = directory.absolute()
    return next(path for path in (wanted, *wanted.parents) if path.is_dir())


@contextmanager
def _leaving_on_term() -> Iterator[None]:
    """A SIGTERM leaves by an exception, as Ctrl-C does, so that the folder is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def rehearsal(launch: Launch) -> Iterator[tuple[Session, list[Event]]]:
    """A session of `launch` in a hidden folder that is removed at the end, and what it has recorded so far.

    Nobody listens: no console, no log, no W&B, no socket, no lock on the run.
    """
    with ExitStack() as stack:
        stack.enter_context(_leaving_on_term())
        where = nearest(launch.directory)
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=where, prefix=".stint-check-"))
        rundir = RunDir(Path(folder) / "run")
        rundir.create()
        bus = Bus(Journal.open(rundir.events), Clock())
        stack.callback(bus.close)
        told: list[Event] = []

        def listen(record: Record) -> None:
            if not isinstance(record.event, Unknown):
                told.append(record.event)

        bus.subscribe("check", listen)
        flags = Flags()
        yield (
            Session(
                launch=replace(launch, directory=rundir.path, resume=None),
                rundir=rundir,
                bus=bus,
                orders=Orders(Inbox(bus, flags)),
                flags=flags,
                life=Lifecycle(lambda _: None, warmed_up=lambda: False, restored=lambda: False),
                rehearsed=True,
                run_id="check",
                config_hash=config_hash(launch.config),
                engine=EngineInfo(
                    pid=os.getpid(), run_id="check", attempt=1, started_wall=time.time(), socket="", version="", argv=()
                ),
            ),
            told,
        )
