"""Obeying a person at a step boundary: every order ends applied or rejected, and says at which step."""

from __future__ import annotations

import time

from engine.run.inbox import Order
from engine.training.evaluating import evaluate_now
from engine.training.saving import save_now
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.commands import Checkpoint, Evaluate, Finish, Pause, Unpause
from states.events import DeadlineReplanned, RunPaused
from states.lifecycle import Rejected
from states.phases import Cause, Reason, Trigger
from states.schedule import cool_down


def obey(session: Session, trainer: Trainer) -> Reason | None:
    """Carry out what is waiting; a reason where training must end now. Raises `Aborted`."""
    for order in session.orders.due():
        try:
            reason = _carry_out(session, trainer, order)
        except Rejected as refusal:
            session.orders.inbox.rejected(order, str(refusal))
            continue
        if reason is not None:
            return reason
    return None


def _carry_out(session: Session, trainer: Trainer, order: Order) -> Reason | None:
    session.settle()
    inbox = session.orders.inbox
    detail = ""
    match order.command:
        case Checkpoint():
            if not save_now(session, trainer, Cause.OPERATOR):
                inbox.rejected(order, "the checkpoint could not be written")
                return None
            detail = f"checkpoint-{session.step}"
        case Evaluate():
            result = evaluate_now(session, trainer, counts=False)
            detail = f"loss {result.loss:.4f}" if result.loss is not None else "interrupted"
        case Pause():
            session.life.fire(Trigger.PAUSE)
            session.paused_at = time.monotonic()
            session.emit(RunPaused(step=session.step))
        case Unpause():
            session.life.fire(Trigger.UNPAUSE)
            session.end_pause()
        case Finish(cooldown_s=seconds) if seconds > 0:
            if session.life.paused:
                session.life.fire(Trigger.UNPAUSE)
                session.end_pause()
            steps = max(1, round(seconds / trainer.pace.step_s))
            session.progress = session.training.moved(cool_down(session.training.horizon, steps))
            session.emit(
                DeadlineReplanned(
                    step=session.step,
                    planned_steps=session.training.horizon.total_steps,
                    step_s=trainer.pace.step_s,
                    remaining_s=session.remaining_s(),
                    why="cooling down at the operator's word",
                )
            )
            detail = f"cooling down over {steps} steps"
        case Finish():
            inbox.applied(order, session.step, "finishing")
            return Reason.OPERATOR
        case _:
            inbox.rejected(order, f"{order.command.name} is not for the training loop")
            return None
    inbox.applied(order, session.step, detail)
    return None
