"""Records as a run makes them, without an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.run.bus import Bus, Clock
from engine.run.journal import Journal
from engine.run.rundir import RunDir
from states import events as e
from states.phases import Phase, Trigger

START = 1_800_000_000.0

Recorder = Callable[..., e.Record]


@pytest.fixture
def rundir(tmp_path: Path) -> Iterator[RunDir]:
    before = os.umask(0o022)
    run = RunDir(tmp_path / "run")
    run.create()
    yield run
    os.umask(before)


@pytest.fixture
def bus(rundir: RunDir) -> Iterator[Bus]:
    bus = Bus(Journal.open(rundir.events), Clock())
    yield bus
    bus.close()


@pytest.fixture
def record() -> Recorder:
    """Numbers events as they come; `at` is in hours after the start."""
    count = iter(range(1_000_000))

    def make(event: e.Event, at: float = 0.0) -> e.Record:
        return e.Record(seq=next(count), wall=START + 3600 * at, mono=3600 * at, event=event)

    return make


def step(number: int, loss: float | None = 2.145) -> e.StepCompleted:
    return e.StepCompleted(
        step=number, epoch=0.5, loss=loss, lr=2.9e-4, grad_norm=0.7, tokens=16000, targets=9000, step_s=20.0, data_s=0.1
    )


OPENING: list[e.Event] = [
    e.LogOpened(schema=1, run_id="run-1", attempt=1, pid=77, host="gpu-box", boot_id="b", version="0.1.0"),
    e.RunConfigured(
        config={"training": {"learning_rate": 3e-4}},
        config_hash="c0ffee00",
        opened_wall=START,
        deadline_wall=START + 12 * 3600,
        reserve_s=1800.0,
    ),
    e.RunPlanned(
        profile="balanced",
        source="measured",
        planned_steps=750,
        warmup_steps=75,
        epochs=3.0,
        steps_per_epoch=250,
        conversations_per_step=32,
        tokens_per_step=16000,
        eval_every=75,
        tokens_per_s=800.0,
        estimated_s={"setup": 120.0, "training": 15000.0, "finalize": 300.0},
        changes=("warm-up shortened to 75 steps: 1000 of 750 would never reach the peak",),
        bin_tokens=4096,
        recompute=True,
        memory_bytes={"weights": 24_500_000_000, "activations": 5_500_000_000},
        memory_limit=40_000_000_000,
    ),
    e.PhaseChanged(old=Phase.SETUP, new=Phase.INIT, trigger=Trigger.ADVANCE, step=0),
    e.PhaseChanged(old=Phase.INIT, new=Phase.WARMUP, trigger=Trigger.ADVANCE, step=0),
]


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in, whatever machine this runs on."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
