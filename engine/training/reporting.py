"""Telling what steps did: their events, the routing sample at the logging interval, the guard against divergence.

A step is told when its numbers are on the host. On a CPU they are when it ends. A CUDA device still works on it then,
and waiting would leave the device idle until the next step has been prepared: there a step is told after the next one
was begun. Whatever else is recorded, evaluated or saved at a boundary waits for the steps before it to be told
(`Session.settle`), so that the journal reads the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from engine.model.routing import LateSample
from engine.training.errors import Diverged
from engine.training.experts import tell_sample
from engine.training.session import Session
from engine.training.step import StepStats
from engine.training.trainer import Trainer
from states.events import EarlyStopTriggered, StepCompleted, StepRejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A step that was taken and is not told yet."""

    step: int
    stats: StepStats
    rate: float
    host_s: float
    """Seconds by the host's clock, which tells where the device has none."""
    sample: LateSample | None
    """Routing since the last sample, at the logging interval."""
    window_steps: int


def held_back(trainer: Trainer) -> int:
    """How many steps may be under way untold: one where the device works while the host goes on."""
    return 1 if trainer.device.type == "cuda" else 0


def report_step(session: Session, trainer: Trainer, stats: StepStats, *, rate: float, host_s: float) -> None:
    """Record the step just taken, or the one before while the device is at it. Raises `Diverged`."""
    step = session.step
    sample, window = None, step - trainer.sampled_step
    if step % trainer.config.training.logging_steps == 0:
        sample, trainer.sampled_step = trainer.adapted.routing.sample_later(), step
    taken = Taken(step=step, stats=stats, rate=rate, host_s=host_s, sample=sample, window_steps=window)
    session.untold.append(partial(_tell, session, trainer, taken))
    session.settle(but=held_back(trainer))


def _tell(session: Session, trainer: Trainer, taken: Taken) -> None:
    """Raises `Diverged` after too many rejected steps in a row."""
    stats, epoch = taken.stats, trainer.steps.epoch(taken.step)
    loss, norm, rejected = stats.loss, stats.grad_norm, stats.rejected
    device_s = stats.device_s
    step_s = taken.host_s if device_s is None else device_s
    trainer.pace.stepped(step_s)
    session.progress = session.training.told(step_s=step_s, rejected=rejected is not None)
    session.emit(
        StepCompleted(
            step=taken.step,
            epoch=epoch,
            loss=loss,
            lr=taken.rate,
            grad_norm=norm,
            tokens=stats.tokens,
            targets=stats.targets,
            step_s=step_s,
            data_s=stats.data_s,
        )
    )
    if rejected is not None:
        streak = session.training.rejected_steps
        session.emit(StepRejected(step=taken.step, why=rejected, streak=streak))
        if streak >= session.config.safety.max_rejected_steps:
            raise Diverged(
                f"{streak} optimizer steps in a row were rejected at step {taken.step} because {rejected}. Lower "
                f"learning_rate (it is {trainer.config.training.learning_rate:g}), or look for damaged conversations; "
                "`--resume auto` goes on from the last checkpoint."
            )
    if taken.step % trainer.config.training.logging_steps == 0:
        trainer.history.append(
            {"step": taken.step, "epoch": epoch, "loss": loss, "learning_rate": taken.rate, "grad_norm": norm}
        )
        sample = None if taken.sample is None else taken.sample.read()
        if sample is not None:
            tell_sample(session, trainer, sample, source="train", window_steps=taken.window_steps, step=taken.step)


def tell_early_stop(session: Session) -> None:
    """Record that patience ran out."""
    patience = session.training.patience
    if patience.best_loss is None or patience.best_step is None:
        return  # no evaluation ever had a finite loss; the rejected steps tell that story
    session.emit(
        EarlyStopTriggered(
            step=session.step,
            loss=patience.last_loss,
            best_loss=patience.best_loss,
            best_step=patience.best_step,
            patience=patience.limit,
        )
    )
