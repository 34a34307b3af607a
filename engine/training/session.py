"""One engine process's hold on its run: the lock, the journal, the control socket, the lifecycle, the clock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from configs.schema import Config
from engine.model.resolve import resolve
from engine.run.bus import Bus
from engine.run.rundir import EngineInfo, RunDir
from engine.run.signals import Flags
from engine.training.launch import Launch
from engine.training.orders import Orders
from engine.training.progress import Progress
from states.events import Event, RunFailed, RunUnpaused, TaskCompleted, TaskProgressed, TaskStarted
from states.lifecycle import Lifecycle
from states.phases import Phase

PROGRESS_INTERVAL_S = 0.25
"""Least seconds between two progress events of one task."""


@dataclass(kw_only=True)
class Session:
    """What the loop needs of the outside world. Made by `main`, used by the training thread only."""

    launch: Launch
    rundir: RunDir
    bus: Bus
    orders: Orders
    flags: Flags
    life: Lifecycle
    run_id: str
    config_hash: str
    engine: EngineInfo
    """This process's card."""
    progress: Progress | None = None
    """Where training is; None until Init has begun or restored it."""
    reserve_s: float = 0.0
    """Seconds kept for Finalize."""
    paused_at: float | None = None
    warned: bool = False
    """Whether the approaching deadline was announced."""
    untold: deque[Callable[[], None]] = field(default_factory=deque)
    """Tells of steps whose numbers the device may still owe, oldest first."""
    _settling: bool = False
    rehearsed: bool = False
    """Whether this only checks a start, which leaves nothing behind."""
    saved_mono: float = field(default_factory=time.monotonic)
    """When the last checkpoint was written, for the interval between two."""
    started_mono: float = field(default_factory=time.monotonic)

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        return self.launch.config

    @cached_property
    def base(self) -> Path | str:
        """The base model's folder, or its hub id where it must still be downloaded."""
        return resolve(self.config.training.base_model)

    @property
    def training(self) -> Progress:
        """Where training is, from the moment Init has settled it."""
        assert self.progress is not None, "training has not begun"
        return self.progress

    @property
    def step(self) -> int:
        """Optimizer steps so far."""
        return self.progress.step if self.progress else 0

    def emit(self, event: Event) -> None:
        """Record a fact, after the steps that came before it; a failure at once: its device may owe for ever."""
        if isinstance(event, RunFailed):
            self.untold.clear()
        self.settle()
        self.bus.emit(event)

    def settle(self, *, but: int = 0) -> None:
        """Tell the steps taken so far, `but` the newest, in their order; raises what telling them raises."""
        if self._settling:
            return  # called by what is being told
        self._settling = True
        try:
            while len(self.untold) > but:
                self.untold.popleft()()
        except BaseException:
            self.untold.clear()
            raise
        finally:
            self._settling = False

    def remaining_s(self) -> float | None:
        """Seconds until the paid window closes; None where there is none."""
        deadline = self.launch.window.deadline_wall
        return None if deadline is None else deadline - time.time()

    def warmed_up(self) -> bool:
        """Guard of the lifecycle: the warm-up steps are done."""
        return self.progress is not None and self.progress.horizon.warmed_up

    def save_is_due(self) -> bool:
        """Whether the configured time since the last checkpoint has gone by."""
        return time.monotonic() - self.saved_mono >= self.config.safety.checkpoint_interval_minutes * 60.0

    def end_pause(self) -> None:
        """Book the pause that ends here, if there is one, and say so."""
        if self.paused_at is None:
            return
        paused_s = time.monotonic() - self.paused_at
        self.paused_at = None
        self.progress = self.training.paused(paused_s)
        self.emit(RunUnpaused(step=self.step, paused_s=paused_s))

    def status(self) -> dict[str, Any]:
        """What the control thread answers, even while the loop hangs."""
        return {
            "phase": self.life.phase.value,
            "paused": self.life.paused,
            "step": self.step,
            "planned_steps": self.progress.horizon.total_steps if self.progress else None,
            "remaining_s": self.remaining_s(),
        }

    def watch(self) -> None:
        """Notice an abort inside a long wait. Finalize cannot be aborted, only hurried."""
        if self.life.phase is not Phase.FINALIZE:
            self.orders.watch()

    @contextmanager
    def task(self, name: str, detail: str = "", total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Say what is being done while it is done; yields a function that takes the progress so far."""
        self.watch()
        self.emit(TaskStarted(task=name, detail=detail, total=total))
        started = told = time.monotonic()

        def progressed(done: int) -> None:
            nonlocal told
            self.watch()
            if time.monotonic() - told >= PROGRESS_INTERVAL_S:
                told = time.monotonic()
                self.emit(TaskProgressed(task=name, done=done))

        yield progressed
        self.emit(TaskCompleted(task=name, task_s=time.monotonic() - started))

    def follower(self) -> Callable[[str, int, int], None]:
        """A listener for work that counts itself: hears (task, done, total), from done 0 to done == total."""
        started: dict[str, float] = {}
        told = 0.0

        def hear(name: str, done: int, total: int) -> None:
            nonlocal told
            self.watch()
            now = time.monotonic()
            if name not in started:
                started[name] = now
                self.emit(TaskStarted(task=name, total=total))
            elif done >= total:
                self.emit(TaskCompleted(task=name, task_s=now - started[name]))
            elif now - told >= PROGRESS_INTERVAL_S:
                told = now
                self.emit(TaskProgressed(task=name, done=done))

        return hear
