"""The time ledger: what is left of the paid window, what Finalize needs of it, and when the run should end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from states.phases import TRAINING, Phase
from states.progress import median
from states.view import Plan, RunView, Window

RESERVE_SHARE: Final = 1 / 24
"""Of the window, for Finalize: half an hour of twelve."""


def reserve_s(window_s: float, measured_finalize_s: float) -> float:
    """Seconds to keep for Finalize: what it was measured to take, but no less than `RESERVE_SHARE` of the window."""
    return max(measured_finalize_s, window_s * RESERVE_SHARE)


class Verdict(StrEnum):
    """What the clock says at a step boundary."""

    GO_ON = "go_on"
    APPROACHED = "approached"
    """Less than twice the reserve is left."""
    REACHED = "reached"
    """One more step would eat into the reserve: training ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The window in Unix seconds; without a deadline it never runs out. All `now` are Unix seconds too."""

    deadline_wall: float | None
    reserve_s: float = 0.0

    @classmethod
    def of(cls, window: Window) -> Self:
        """The ledger of a run's window."""
        return cls(deadline_wall=window.deadline_wall, reserve_s=window.reserve_s)

    def remaining(self, now: float) -> float | None:
        """Seconds to the deadline, negative after it; None without one."""
        return None if self.deadline_wall is None else self.deadline_wall - now

    def until_reserve(self, now: float) -> float | None:
        """Seconds until the reserve begins, negative inside it; None without a deadline."""
        return None if self.deadline_wall is None else self.deadline_wall - self.reserve_s - now

    def verdict(self, now: float, next_step_s: float = 0.0) -> Verdict:
        """Whether another step of `next_step_s` seconds still fits before the reserve."""
        left = self.until_reserve(now)
        if left is None:
            return Verdict.GO_ON
        if left <= next_step_s:
            return Verdict.REACHED
        return Verdict.APPROACHED if left < self.reserve_s else Verdict.GO_ON

    def projected_finish(self, view: RunView, now: float) -> float | None:
        """When the run will have stopped, if it goes on as it went so far; None before there is a plan.

        A pause adds only what has passed of it: nobody knows how long it will last.
        """
        if view.phase is Phase.STOPPED:
            return view.phase_since
        if view.plan is None:
            return None
        left = _finalize_left_s(view, view.plan, now)
        if view.phase is not Phase.FINALIZE:
            left += _training_left_s(view, view.plan, now)
        if view.phase in (Phase.SETUP, Phase.INIT):
            started = view.phase_walls.get(Phase.SETUP, now)
            left += max(0.0, view.plan.estimated_s.get("setup", 0.0) - (now - started))
        return now + left

    def slack_s(self, view: RunView, now: float) -> float | None:
        """Seconds between the projected finish and the deadline, negative when late; None where either is unknown."""
        finish = self.projected_finish(view, now)
        return None if finish is None or self.deadline_wall is None else self.deadline_wall - finish


def _training_left_s(view: RunView, plan: Plan, now: float) -> float:
    """Steps, and the evaluations and saves among them."""
    step_s = view.progress.step_s
    if step_s is None:
        step_s = plan.tokens_per_step / plan.tokens_per_s if plan.tokens_per_s > 0 else 0.0
    steps = max(0, plan.planned_steps - view.progress.step)
    steps_s = max(0.0, steps * step_s - _into_step_s(view, step_s, now))
    share = steps / plan.original_steps if plan.original_steps > 0 else 0.0
    return steps_s + _evaluations_left_s(view, plan, steps, share) + _saves_left_s(view, plan, steps_s, share)


def _into_step_s(view: RunView, step_s: float, now: float) -> float:
    """Seconds already spent on the step that is going on, so that the projection does not creep while it lasts."""
    last = view.lr.last
    if last is None or view.paused or view.phase not in TRAINING:
        return 0.0
    return min(max(0.0, now - max(last.last_wall, view.phase_since)), step_s)


def _evaluations_left_s(view: RunView, plan: Plan, steps: int, share: float) -> float:
    seen = median([item.eval_s for item in view.evaluations if item.scope == "subset"])
    if seen is None or plan.eval_every <= 0:
        return plan.estimated_s.get("evaluation", 0.0) * share
    due = plan.planned_steps // plan.eval_every - view.progress.step // plan.eval_every
    return seen * max(0, min(due, steps))


def _saves_left_s(view: RunView, plan: Plan, steps_s: float, share: float) -> float:
    """Saves come by the clock: they go on at the pace of those on disk."""
    saves = view.checkpoints
    cost = median([item.save_s for item in saves])
    began = view.phase_walls.get(Phase.WARMUP, view.phase_walls.get(Phase.MAIN, view.phase_since))
    since = saves[0].wall if len(saves) > 1 else began
    every_s = (saves[-1].wall - since) / max(1, len(saves) - 1) if saves else 0.0
    if cost is None or every_s <= 0:
        return plan.estimated_s.get("checkpoints", 0.0) * share
    return steps_s / every_s * cost


def _finalize_left_s(view: RunView, plan: Plan, now: float) -> float:
    expected = plan.estimated_s.get("finalize", 0.0)
    return max(0.0, expected - (now - view.phase_since)) if view.phase is Phase.FINALIZE else expected
