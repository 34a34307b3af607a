"""As much of W&B as a tracker uses, in memory."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from configs.wandb import WandbConfig
from engine.run.rundir import RunDir
from engine.watch.tracker import Tracker
from states import events as e
from states.phases import Outcome, Reason


class FakeRun:
    def __init__(self) -> None:
        self.logged: list[dict[str, Any]] = []
        self.defined: list[tuple[Any, ...]] = []
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.blocked: threading.Event | None = None

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.defined.append((name, step_metric))

    def log(self, values: dict[str, Any]) -> None:
        if self.blocked is not None:
            self.blocked.wait(20.0)
        self.logged.append(values)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


class FakeWandb:
    """As much of the wandb module as is used; `fail` names the modes in which init raises."""

    class Settings(SimpleNamespace):
        model_fields = dict.fromkeys(["console", "silent", "save_code", "finish_timeout", "x_disable_meta"])

    def __init__(self, fail: tuple[str, ...] = ()) -> None:
        self.run = FakeRun()
        self.inits: list[dict[str, Any]] = []
        self.fail = fail

    def init(self, **options: Any) -> FakeRun:
        self.inits.append(options)
        if options["mode"] in self.fail:
            raise ConnectionError("no route to host")
        return self.run

    def Histogram(self, np_histogram: tuple[list[float], list[float]]) -> tuple[str, list[float]]:
        return ("histogram", np_histogram[0])


def tracker(rundir: RunDir, wandb: FakeWandb, mode: str = "offline", **options: Any) -> Tracker:
    config = WandbConfig.model_validate({"project": "therapy", "tags": ["h100"], "mode": mode})
    return Tracker(rundir, config, library=lambda: wandb, **options)


def routing() -> e.ExpertsSampled:
    return e.ExpertsSampled(
        step=10,
        source="train",
        window_steps=10,
        counts=((30, 20, 25, 25), (20, 30, 25, 25)),
        token_entropy=(1.2, 1.1),
        balance_loss=1.01,
        domains={"grief": (9, 1, 1, 1)},
    )


STOPPED = e.RunStopped(
    outcome=Outcome.FINISHED,
    reason=Reason.TARGET,
    step=10,
    tokens=9,
    trained_s=1.0,
    paused_s=0.0,
    wall_s=2.0,
    exit_code=0,
    best_loss=1.5,
    best_step=10,
)
