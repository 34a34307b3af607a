"""A run directory to work in, and a journal bus on a clock that the test moves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.run.bus import Bus, Clock
from engine.run.journal import Journal
from engine.run.rundir import EngineInfo, RunDir


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
