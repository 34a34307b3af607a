"""How a run is doing, from its journal and its lock alone: works for a live, a finished and a lost run alike."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from engine.run.journal import read
from engine.run.rundir import RunDir
from states.budget import Ledger
from states.reducer import fold
from states.view import RunView
from states.wording import duration, loss_words, number


class Liveness(StrEnum):
    """What the lock and the journal together say."""

    STARTING = "starting"
    """An engine holds the lock and has recorded nothing yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    """The run has stopped; its engine is still about (a command after the end, the next attempt's beginning)."""
    STOPPED = "stopped"
    LOST = "lost"
    """The engine is gone without a last word: killed, or the machine went down."""


def liveness(view: RunView, *, live: bool) -> Liveness:
    """Read the lock first and the journal after it: then an engine that stops in between is not taken for lost."""
    if view.ending is not None:
        return Liveness.STOPPING if live else Liveness.STOPPED
    if not live:
        return Liveness.LOST
    return Liveness.STARTING if view.seq < 0 else Liveness.RUNNING


def look(rundir: RunDir) -> tuple[Liveness, RunView]:
    """The state of a run right now."""
    live = rundir.is_live()
    view = fold(read(rundir.events)) if rundir.events.exists() else RunView()
    return liveness(view, live=live), view


def report(rundir: RunDir, state: Liveness, view: RunView, now: float) -> dict[str, Any]:
    """The facts as plain JSON values. Times are Unix seconds, durations seconds; `now` is ignored once it is over."""
    over = state in {Liveness.STOPPED, Liveness.LOST}
    at = view.wall if over else now
    ledger, progress, saved = Ledger.of(view.window), view.progress, view.checkpoints[-1:]
    opened = view.window.opened_wall
    return {
        "run": str(rundir.path),
        "run_id": view.identity.run_id,
        "attempt": view.identity.attempt,
        "pid": view.identity.pid,
        "state": state.value,
        "phase": view.phase.value,
        "paused": view.paused,
        "step": progress.step,
        "planned_steps": view.plan.planned_steps if view.plan else None,
        "epoch": progress.epoch,
        "loss": progress.loss,
        "smooth_loss": progress.smooth_loss,
        "eval_loss": view.evaluations[-1].loss if view.evaluations else None,
        "best_loss": view.best.loss if view.best else None,
        "best_step": view.best.step if view.best else None,
        "step_s": progress.step_s,
        "tokens_per_s": progress.tokens_per_s,
        "task": view.task.name if view.task and not over else None,
        "elapsed_s": None if opened is None else at - opened,
        "remaining_s": ledger.remaining(at),
        "deadline_wall": view.window.deadline_wall,
        "projected_finish_wall": None if over else ledger.projected_finish(view, now),
        "slack_s": None if over else ledger.slack_s(view, now),
        "checkpoint": saved[0].path if saved else None,
        "checkpoint_step": saved[0].step if saved else None,
        "checkpoint_age_s": now - saved[0].wall if saved else None,
        "viewers": len(view.viewers) if state is Liveness.RUNNING else 0,
        "outcome": view.ending.outcome.value if view.ending else None,
        "reason": view.ending.reason.value if view.ending else None,
        "exit_code": view.ending.exit_code if view.ending else None,
        "error": view.failure.message if view.failure else None,
        "updated_wall": view.wall,
    }


def sentences(facts: dict[str, Any], now: float) -> list[str]:
    """The same facts in lines for people."""
    parts = (_who(facts), _progress(facts), _validation(facts), _window(facts, now), _checkpoint(facts), _end(facts))
    return [line for line in parts if line]


def _who(facts: dict[str, Any]) -> str:
    where = f", {facts['phase']} phase" if facts["state"] == Liveness.RUNNING else ""
    paused = ", paused" if facts["paused"] and where else ""
    task = f", {facts['task']}" if facts["task"] else ""
    return f"{facts['run']}: {facts['state']}{where}{paused}{task} (attempt {facts['attempt']}, pid {facts['pid']})"


def _progress(facts: dict[str, Any]) -> str:
    planned = facts["planned_steps"]
    if not planned:
        return ""
    line = f"step {facts['step']:,} of {planned:,} ({facts['step'] / planned:.1%}), loss {number(facts['loss'])}"
    if facts["step_s"]:
        line += f", {number(facts['step_s'], '.3g')} s a step, {number(facts['tokens_per_s'], ',.0f')} tokens/s"
    return line


def _validation(facts: dict[str, Any]) -> str:
    if facts["eval_loss"] is None:
        return ""
    best = "" if facts["best_loss"] is None else f"; best {number(facts['best_loss'])} at step {facts['best_step']:,}"
    return f"validation {loss_words(facts['eval_loss'])}{best}"


def _window(facts: dict[str, Any], now: float) -> str:
    if facts["elapsed_s"] is None:
        return ""
    line = f"{duration(facts['elapsed_s'])} used"
    if facts["remaining_s"] is not None:
        line += f", {duration(max(0.0, facts['remaining_s']))} left"
    if facts["projected_finish_wall"] is not None and facts["state"] == Liveness.RUNNING:
        line += f", finish expected in {duration(max(0.0, facts['projected_finish_wall'] - now))}"
    return line


def _checkpoint(facts: dict[str, Any]) -> str:
    if facts["checkpoint"] is None:
        return "no checkpoint yet" if facts["state"] == Liveness.RUNNING else "no checkpoint"
    return f"{facts['checkpoint']}, {duration(facts['checkpoint_age_s'])} ago"


def _end(facts: dict[str, Any]) -> str:
    if facts["state"] == Liveness.LOST:
        return f"the engine is gone without a last word; resume with `run.py --output-dir {facts['run']} --resume auto`"
    if facts["outcome"] is None:
        return ""
    error = f": {facts['error']}" if facts["error"] else ""
    return f"{facts['outcome']} ({facts['reason']}), exit code {facts['exit_code']}{error}"
