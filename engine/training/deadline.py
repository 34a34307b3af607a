"""The clock at a step boundary: how many steps the window still holds, and whether training must end now."""

from __future__ import annotations

import time

from engine.plan.layout import MOST_RESERVE
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.budget import Ledger, Verdict
from states.events import DeadlineApproached, DeadlineReached, DeadlineReplanned
from states.phases import Reason
from states.schedule import advance, remaining_steps


def reserve(session: Session, trainer: Trainer) -> float:
    """Seconds to keep for Finalize: the configured or proportional reserve, or its measured cost if that is more."""
    window_s = session.launch.window.length_s
    cost = trainer.pace.finalize_s
    return max(session.reserve_s, cost if window_s is None else min(cost, MOST_RESERVE * window_s))


def move_horizon(session: Session, trainer: Trainer) -> None:
    """Advance the schedule by the step just taken, over the steps that still fit; say so when its end moved."""
    before = session.training.horizon
    pace = trainer.pace
    left = before.planned_steps - before.step
    all_in_s = pace.all_in_step_s(
        eval_every=trainer.eval_every,
        save_interval_s=session.config.safety.checkpoint_interval_minutes * 60.0,
    )
    remaining = session.remaining_s()
    # The step just taken is one of the steps that R counts, and its time is spent.
    time_left = None if remaining is None else remaining + all_in_s
    after = advance(before, remaining_steps(left, time_left, reserve(session, trainer), 0.0, all_in_s))
    session.progress = session.training.moved(after)
    if after.total_steps != before.total_steps:
        session.emit(
            DeadlineReplanned(
                step=session.step,
                planned_steps=after.total_steps,
                step_s=pace.step_s,
                remaining_s=remaining,
                why="the window holds fewer steps"
                if after.total_steps < before.total_steps
                else "the window holds more steps",
            )
        )


def time_is_up(session: Session, trainer: Trainer) -> bool:
    """Whether one more step would eat into the reserve; the warning before it is given once."""
    ledger = Ledger(deadline_wall=session.launch.window.deadline_wall, reserve_s=reserve(session, trainer))
    now = time.time()
    verdict = ledger.verdict(now, trainer.pace.step_s)
    remaining = ledger.remaining(now)
    if verdict is Verdict.GO_ON or remaining is None:
        return False
    if verdict is Verdict.APPROACHED:
        if not session.warned:
            session.warned = True
            session.emit(DeadlineApproached(step=session.step, remaining_s=remaining, reserve_s=ledger.reserve_s))
        return False
    session.emit(DeadlineReached(step=session.step, remaining_s=remaining))
    return True


def why_done(session: Session, trainer: Trainer) -> Reason:
    """Whose doing it is that the horizon ends where it does."""
    horizon = session.training.horizon
    if horizon.planned_steps < trainer.plan.planned_steps:
        return Reason.OPERATOR  # a cool-down lowered the plan
    return Reason.DEADLINE if horizon.total_steps < horizon.planned_steps else Reason.TARGET


def window_closes(session: Session, trainer: Trainer) -> bool:
    """Whether the reserve has begun: what was going on between two steps must end."""
    remaining = session.remaining_s()
    return remaining is not None and remaining < reserve(session, trainer)
