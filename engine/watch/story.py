"""A run in lines for people: what the console prints and training.log keeps.

The words are the event feed's; what is added is what a feed beside curves does not need: progress, the plan's table,
hours and an ending.
"""

from __future__ import annotations

from states import events as e
from states.budget import Ledger
from states.phases import TRAINING
from states.reducer import fold, reduce
from states.view import FeedLine, RunView
from states.wording import duration, number, perplexity, size

TASK_EVERY_S = 15.0
"""A long task says how far it is this often."""
_PREFIX = {"warn": "WARNING: ", "bad": "ERROR: "}
_HOUR_S = 3600.0


class Story:
    """Turns records into lines, at most one for each `every` steps."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._view = RunView()
        self._later: list[e.Record] = []
        """Steps that make no line: folded when the next line is due, together, which costs less than one by one."""
        self._task_told_wall = 0.0
        self._attempt_has_stepped = False

    def tell(self, record: e.Record) -> list[str]:
        """The lines for one record, often none. Records must come in order."""
        event = record.event
        if isinstance(event, e.StepCompleted) and not self._due(event.step):
            self._later.append(record)
            return []
        before = fold(self._later, self._view)
        self._later.clear()
        self._view = reduce(before, record)
        match event:
            case e.StepCompleted():
                return [self._progress(event, record.wall)]
            case e.TaskStarted():
                self._task_told_wall = record.wall
                return [f"Task: {event.task}{_detail(event.detail)} ..."]
            case e.TaskProgressed():
                return self._task_progress(record.wall)
            case e.EvalStarted(scope="full"):
                return [f"Eval: all {event.conversations:,} validation conversations ..."]
            case e.LogOpened():
                self._attempt_has_stepped = False
        lines = [self._sentence(fed, event, record.wall) for fed in self._fed(before)]
        if isinstance(event, e.RunPlanned):
            lines += self._plan_table(record.wall)
        if isinstance(event, e.RunFailed) and event.remedy:
            lines.append(f"  what to do: {event.remedy}")
        if isinstance(event, e.RunStopped):
            lines += self._summary(event)
        return lines

    def _fed(self, before: RunView) -> tuple[FeedLine, ...]:
        newest = self._view.feed[-1:]
        return newest if newest != before.feed[-1:] else ()

    def _due(self, step: int) -> bool:
        first, self._attempt_has_stepped = not self._attempt_has_stepped, True
        plan = self._view.plan
        return first or step % self._every == 0 or (plan is not None and step == plan.planned_steps)

    def _progress(self, event: e.StepCompleted, now: float) -> str:
        plan, progress = self._view.plan, self._view.progress
        share = f"{event.step / plan.planned_steps:.1%}" if plan and plan.planned_steps else "?"
        parts = [
            f"Progress: {share}",
            f"Loss: {number(event.loss, '.3f')}",
            f"Step: {event.step}",
            f"LR: {event.lr:.2e}",
            f"{number(progress.tokens_per_s, ',.0f')} tokens/s",
        ]
        finish = Ledger.of(self._view.window).projected_finish(self._view, now)
        if finish is not None and self._view.phase in TRAINING:
            parts.append(f"{duration(max(0.0, finish - now))} left")
        return " | ".join(parts)

    def _task_progress(self, now: float) -> list[str]:
        task = self._view.task
        if task is None or task.done is None or now - self._task_told_wall < TASK_EVERY_S:
            return []
        self._task_told_wall = now
        return [f"Task: {task.name}: {task.done:,}" + (f" of {task.total:,}" if task.total else "")]

    def _sentence(self, fed: FeedLine, event: e.Event | e.Unknown, now: float) -> str:
        opened = self._view.window.opened_wall
        text = fed.text
        if isinstance(event, e.CheckpointCompleted) and opened is not None:
            hours = (now - opened) / _HOUR_S
            return f"Checkpoint at {hours:.{1 if hours >= 0.1 else 2}f} hours: {text}"
        best = self._view.best
        if isinstance(event, e.EvalCompleted) and not event.best and best is not None and best.loss is not None:
            text += f"; best {number(best.loss)} at step {best.step:,}"
        return f"{_PREFIX.get(fed.tone, '')}{fed.topic.capitalize()}: {text}"

    def _plan_table(self, now: float) -> list[str]:
        plan, ledger = self._view.plan, Ledger.of(self._view.window)
        if plan is None:
            return []
        lines = [f"  {part:<12} {duration(seconds)}" for part, seconds in plan.estimated_s.items()]
        if plan.memory_bytes:
            limit = "" if plan.memory_limit is None else f" of {size(plan.memory_limit)}"
            kept = ", activations recomputed" if plan.recompute else ""
            needed = size(sum(plan.memory_bytes.values()))
            lines.append(f"  {'memory':<12} {needed}{limit}, bins of up to {plan.bin_tokens:,} tokens{kept}")
        remaining, slack = ledger.remaining(now), ledger.slack_s(self._view, now)
        if remaining is not None and slack is not None:
            spare = "to spare" if slack >= 0 else "too long"
            lines.append(f"  {'window':<12} {duration(remaining)} left, {duration(abs(slack))} {spare}")
        return lines + [f"  changed: {change}" for change in plan.changes]

    def _summary(self, event: e.RunStopped) -> list[str]:
        lines = [f"Training ended after {event.wall_s / _HOUR_S:.2f} hours, {duration(event.trained_s)} of it in steps"]
        if event.best_loss is not None:
            at = "" if event.best_step is None else f" at step {event.best_step:,}"
            ppl = number(perplexity(event.best_loss), ".2f")
            lines.append(f"  best validation loss {number(event.best_loss)}, perplexity {ppl}{at}")
        if event.checkpoint is not None:
            lines.append(f"  newest checkpoint {event.checkpoint}")
        return [*lines, f"  exit code {event.exit_code}"]


def _detail(text: str) -> str:
    return f" ({text})" if text else ""
