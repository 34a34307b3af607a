"""Telling what a step did: its event, the routing sample at the logging interval, the guard against divergence."""

from __future__ import annotations

from engine.training.errors import Diverged
from engine.training.experts import tell_sample
from engine.training.session import Session
from engine.training.step import StepStats
from engine.training.trainer import Trainer
from states.events import EarlyStopTriggered, StepCompleted, StepRejected


def report_step(session: Session, trainer: Trainer, stats: StepStats, *, rate: float, step_s: float) -> None:
    """Record one step. Raises `Diverged` after too many rejected steps in a row."""
    progress = session.training
    epoch = trainer.steps.epoch(progress.step)
    session.emit(
        StepCompleted(
            step=progress.step,
            epoch=epoch,
            loss=stats.loss,
            lr=rate,
            grad_norm=stats.grad_norm,
            tokens=stats.tokens,
            targets=stats.targets,
            step_s=step_s,
            data_s=stats.data_s,
        )
    )
    if stats.rejected is not None:
        session.emit(StepRejected(step=progress.step, why=stats.rejected, streak=progress.rejected_steps))
        if progress.rejected_steps >= session.config.safety.max_rejected_steps:
            raise Diverged(
                f"{progress.rejected_steps} optimizer steps in a row were rejected at step {progress.step} because "
                f"{stats.rejected}. Lower learning_rate (it is {trainer.config.training.learning_rate:g}), or look for "
                "damaged conversations; `--resume auto` goes on from the last checkpoint."
            )
    if progress.step % trainer.config.training.logging_steps == 0:
        _log(session, trainer, stats, rate, epoch)


def _log(session: Session, trainer: Trainer, stats: StepStats, rate: float, epoch: float) -> None:
    step = session.step
    trainer.history.append(
        {"step": step, "epoch": epoch, "loss": stats.loss, "learning_rate": rate, "grad_norm": stats.grad_norm}
    )
    sample = trainer.adapted.routing.sample()
    window, trainer.sampled_step = step - trainer.sampled_step, step
    if sample is not None:
        tell_sample(session, trainer, sample, source="train", window_steps=window)


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
