"""A subscriber that passes the run's numbers on to Weights & Biases without ever making the run wait.

Records go through a bounded queue to a thread of its own, which is the only place that imports wandb. Trackers have
stalled and crashed trainings; this one can only fall silent.
"""

from __future__ import annotations

import importlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from configs.wandb import WandbConfig
from engine.run.rundir import RunDir
from engine.watch import wandb_run
from engine.watch.metrics import STEP, metrics
from states import events as e
from states.portable import known_paths, portable_any
from states.reducer import reduce
from states.view import RunView

log = logging.getLogger("stint.tracker")

MAX_WAITING = 4096
"""Records between the run and W&B: many minutes of a fast run."""
_GPU_EVERY = 10
"""A point of the card's curves for so many of its samples."""
_WANTED = (
    e.LogOpened,
    e.RunConfigured,
    e.ModelLoaded,
    e.RunPlanned,
    e.RunRestored,
    e.PhaseChanged,
    e.RunPaused,
    e.RunUnpaused,
    e.StepCompleted,
    e.EvalCompleted,
    e.CheckpointCompleted,
    e.ExpertsSampled,
    e.ExpertsAlarmed,
    e.ExpertsExamined,
    e.GpuSampled,
    e.DeadlineReplanned,
    e.RunStopped,
)
"""What a curve, or an estimate drawn as one, depends on. No messages and no failures: they may quote what was read."""


class Tracker:
    """Subscribe it to the bus as `tracker`; `close` it after `run.stopped`."""

    def __init__(
        self,
        rundir: RunDir,
        config: WandbConfig,
        *,
        library: Callable[[], Any] = lambda: importlib.import_module("wandb"),
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._rundir = rundir
        self._config = config
        self._library = library
        self._mode = wandb_run.mode(config) if config.mode != "disabled" else "disabled"
        self._waiting: queue.Queue[e.Record | None] = queue.Queue(max_waiting)
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Records that found the queue full."""

    def __call__(self, record: e.Record) -> None:
        """Queue one record. Raises what the thread died of, so that the bus switches this subscriber off."""
        if self._failure is not None:
            raise self._failure
        if self._mode == "disabled" or not isinstance(record.event, _WANTED):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        try:
            self._track()
        except Exception as error:  # noqa: BLE001  (whatever W&B does ends here)
            self._failure = error

    def _track(self) -> None:
        view, run, samples = RunView(), None, 0
        while (record := self._waiting.get()) is not None:
            view = reduce(view, record)
            if isinstance(record.event, e.GpuSampled):
                samples += 1
                if run is None or samples % _GPU_EVERY:
                    continue
            found = metrics(view, record)
            if not found:
                continue
            if run is None:
                # Not before there is something to show: by then configuration, model and plan are known.
                run = self._open(view)
            if isinstance(record.event, e.ExpertsSampled) and view.experts is not None:
                run.log({"expert_usage": _histogram(self._library(), view.experts.shares), STEP: found[STEP]})
            run.log(found)
        if run is not None:
            self._finish(run, view)

    def _open(self, view: RunView) -> Any:
        recorded: dict[str, Any] = {
            "stint": portable_any(view.config, known_paths(view.config)),
            "run_id": view.identity.run_id,
        }
        if view.model is not None:
            recorded["params"] = view.model.params
            recorded["trainable_params"] = view.model.trainable_params
        if view.plan is not None:
            recorded["planned_steps"] = view.plan.planned_steps
        return wandb_run.open_run(self._library(), self._rundir, self._config, self._mode, recorded)

    def _finish(self, run: Any, view: RunView) -> None:
        end = view.ending
        if end is not None:
            run.summary.update({"outcome": end.outcome.value, "reason": end.reason.value, "steps": end.step})
            if end.best_loss is not None:
                run.summary.update({"best_eval_loss": end.best_loss, "best_step": end.best_step})
        if self.dropped:
            run.summary.update({"dropped_records": self.dropped})
        run.finish(exit_code=end.exit_code if end is not None else 1)

    def close(self, timeout_s: float = 2 * wandb_run.FINISH_S) -> bool:
        """Let W&B take what is queued and finish. False if it did not manage within `timeout_s` and was left behind."""
        if self._thread is None:
            return True
        while True:
            try:
                self._waiting.put_nowait(None)
                break
            except queue.Full:
                self._drop_oldest()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("W&B did not finish within %.0f s; `wandb sync` in %s uploads the rest", timeout_s, self._where)
            return False
        return True

    @property
    def _where(self) -> str:
        return str(self._rundir.path / "wandb")

    def _drop_oldest(self) -> None:
        try:
            self._waiting.get_nowait()
            self.dropped += 1
        except queue.Empty:
            return


def _histogram(library: Any, shares: tuple[float, ...]) -> Any:
    """One bar for each expert."""
    return library.Histogram(np_histogram=(list(shares), [i - 0.5 for i in range(len(shares) + 1)]))
