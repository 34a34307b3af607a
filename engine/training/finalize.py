"""Finalize: the last checkpoint, the best model judged on all validation data, and its files at the run's root."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.checkpoint.errors import CheckpointFailed
from engine.checkpoint.root import publish
from engine.model.export import read_adapter
from engine.run.inbox import Order
from engine.training.card import root_writers
from engine.training.evaluate import EvalResult, evaluate
from engine.training.evaluating import evaluate_now
from engine.training.experts import examine_experts, tell_sample
from engine.training.memory import in_memory
from engine.training.planning import remember_run
from engine.training.saving import best_checkpoint, save_now
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.commands import Abort, Finish
from states.events import EvalCompleted, EvalStarted, MessageLogged
from states.phases import Cause, Reason, Trigger

PUBLISH_MARGIN_S = 2.0
"""Kept for publishing the best model's files when the window closes on Finalize."""
_REMEDY = "Free space or check the disk; `--resume auto` then"


def finalize(session: Session, trainer: Trainer, reason: Reason) -> None:
    """Make what was trained durable first; then whatever the time left allows.

    After a signal the run is resumable and its host may be about to vanish: only the checkpoint is written.
    Raises `CheckpointFailed` where no checkpoint is sound, or what was trained last is lost and may be the best: such a
    run is not finished, and can be resumed.
    """
    session.end_pause()
    if reason is Reason.SIGNAL:
        if session.training.saved_step != session.step:
            save_now(session, trainer, Cause.SIGNAL)
        if not session.rundir.checkpoints():
            raise CheckpointFailed(f"No checkpoint could be written before the signal's end. {_REMEDY} begins again.")
        return
    for order in session.orders.while_finalizing():
        if isinstance(order.command, Finish | Abort):
            # Asked for at the same boundary as what ended training: it has come about.
            session.orders.inbox.applied(order, session.step, "finishing")
        else:
            _refuse(session, order)
    hurried = _hurry(session, trainer)
    if session.training.saved_step != session.step:
        save_now(session, trainer, Cause.FINAL)
    if session.training.evaluated_step != session.step and not hurried():
        evaluate_now(session, trainer, stop=hurried)
    best = best_checkpoint(session, hashes=True)
    if best is None:
        raise CheckpointFailed(
            f"No checkpoint could be written, so nothing of what was trained is on disk. {_REMEDY} begins again."
        )
    step = int(best.name.rpartition("-")[2])
    wanted = session.training.patience.best_step
    if wanted is not None and step != wanted:
        text = f"The best checkpoint, of step {wanted:,}, is not sound on disk: {best.name} takes its place."
        session.emit(MessageLogged(level="WARNING", logger="stint", text=text))
    judged = None if hurried() else _judge(session, trainer, best, step, hurried)
    examined = None if judged is None else examine_experts(session, trainer, judged, step, hurried)
    with session.task("publish the best model", detail=best.name):
        writers = root_writers(session, trainer, judged=judged, examined=examined)
        publish(session.rundir.path, best, writers)
    remember_run(session, trainer)
    if step != wanted and session.training.saved_step != session.step:
        raise CheckpointFailed(
            f"The last steps could not be saved, nor the best model among them; {best.name} is published in its place. "
            f"{_REMEDY} goes on from step {session.training.saved_step:,}."
        )


def _judge(session: Session, trainer: Trainer, best: Path, step: int, stop: Callable[[], bool]) -> EvalResult:
    """The best checkpoint, of `step`, on the whole validation set; without a loss where time or patience ran out."""
    if step != session.step:
        with session.task("load the best checkpoint", detail=best.name):
            read_adapter(trainer.adapted, best)
    session.emit(EvalStarted(step=step, scope="full", conversations=len(trainer.validation)))
    result = in_memory(session, trainer, lambda: evaluate(trainer, trainer.validation, stop))
    session.emit(
        EvalCompleted(
            step=step,
            scope="full",
            loss=result.loss,
            targets=result.targets,
            eval_s=result.eval_s,
            best=result.loss is not None,
            domains=result.domains,
        )
    )
    if result.routing is not None:
        tell_sample(session, trainer, result.routing, source="eval", window_steps=0)
    return result


def _refuse(session: Session, order: Order) -> None:
    session.orders.inbox.rejected(order, f"{order.command.name} is not possible while finalizing")


def _hurry(session: Session, trainer: Trainer) -> Callable[[], bool]:
    """Whether optional work must be skipped: asked for by a person or a signal, or because the window closes."""
    told = False

    def hurried() -> bool:
        nonlocal told
        for order in session.orders.while_finalizing():
            if isinstance(order.command, Finish | Abort):
                session.flags.hurry = True
                session.orders.inbox.applied(order, session.step, "skipping optional work")
            else:
                _refuse(session, order)
        remaining = session.remaining_s()
        late = remaining is not None and remaining < trainer.pace.save_s + PUBLISH_MARGIN_S
        hurry = session.flags.hurry or session.flags.stop or late
        if hurry and not told:
            told = True
            session.life.fire(Trigger.HURRY)
        return hurry

    return hurried
