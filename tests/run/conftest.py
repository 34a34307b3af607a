"""A run directory to work in, and a journal bus on a clock that the test moves."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.run.bus import Bus, Clock
from engine.run.control import ControlServer
from engine.run.inbox import Inbox
from engine.run.journal import Journal
from engine.run.rundir import EngineInfo, RunDir
from engine.run.signals import Flags
from states.commands import Pause
from tests.run.dialling import DIALLED


@pytest.fixture
def rundir(tmp_path: Path) -> Iterator[RunDir]:
    before = os.umask(0o022)
    run = RunDir(tmp_path / "run")
    run.create()
    yield run
    os.umask(before)


@pytest.fixture
def bus(rundir: RunDir) -> Iterator[Bus]:
    bus = Bus(Journal.open(rundir.events), Clock(wall=lambda: 1000.0, mono=lambda: 10.0))
    yield bus
    bus.close()


@pytest.fixture
def engine_info() -> EngineInfo:
    return EngineInfo(
        pid=os.getpid(), run_id="run-1", attempt=1, started_wall=1000.0, socket="", version="0.1.0", argv=("train",)
    )


@pytest.fixture
def inbox(bus: Bus) -> Inbox:
    return Inbox(bus, Flags())


@pytest.fixture
def server(rundir: RunDir, engine_info: EngineInfo, inbox: Inbox) -> Iterator[ControlServer]:
    with (
        rundir.hold_lock(),
        ControlServer(rundir, engine_info, inbox, lambda: {"phase": "main", "step": 7}) as server,
    ):
        yield server


@pytest.fixture
def loop(inbox: Inbox) -> Iterator[None]:
    """A training loop that applies everything but a pause, which it refuses."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            inbox.wait(0.01)
            while (order := inbox.take()) is not None:
                if isinstance(order.command, Pause):
                    inbox.rejected(order, "already paused")
                else:
                    inbox.applied(order, step=7, detail="checkpoint-7")

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while DIALLED:
        DIALLED.pop().close()
