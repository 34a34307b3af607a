"""Evaluating inside a run: the loss, what it means for patience and for the best model, and the events that say so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from engine.training.deadline import window_closes
from engine.training.evaluate import EvalResult, evaluate
from engine.training.experts import tell_sample
from engine.training.memory import in_memory
from engine.training.saving import save_now
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.events import EvalCompleted, EvalStarted
from states.phases import Cause


def evaluate_now(
    session: Session,
    trainer: Trainer,
    *,
    full: bool = False,
    counts: bool = True,
    stop: Callable[[], bool] | None = None,
) -> EvalResult:
    """Evaluate on the subset, or on everything before the first step (`full`); a new best is saved at once.

    `stop` ends it early: by default an order to abort, a stopping signal, or the beginning of the reserve. Interrupted
    it counts for nothing. One that a person asked for (`counts` false) may find a new best but costs no patience.
    """
    scope = "full" if full else "subset"
    examples = trainer.validation if full else trainer.subset

    def told_to_stop() -> bool:
        session.orders.watch()
        return session.flags.stop or window_closes(session, trainer)

    session.emit(EvalStarted(step=session.step, scope=scope, conversations=len(examples)))
    result = in_memory(session, trainer, lambda: evaluate(trainer, examples, stop or told_to_stop))
    best = False
    if full and not result.interrupted:
        trainer.pace.full_eval_s = result.eval_s
        session.progress = replace(session.training, start_loss=result.loss)
    elif not result.interrupted:
        trainer.pace.evals.append(result.eval_s)
        if session.training.evaluated_step != session.step:
            patience = session.training.patience.after(result.loss, session.step)
            best = patience.best_step == session.step
            if best or counts:
                session.progress = replace(session.training, patience=patience, evaluated_step=session.step)
    _tell(session, trainer, result, scope, best=best)
    if best:
        save_now(session, trainer, Cause.BEST, eval_loss=result.loss)
    return result


def _tell(session: Session, trainer: Trainer, result: EvalResult, scope: str, *, best: bool) -> None:
    step = session.step
    session.emit(
        EvalCompleted(
            step=step,
            scope=scope,
            loss=result.loss,
            targets=result.targets,
            eval_s=result.eval_s,
            best=best,
            domains=result.domains,
        )
    )
    if result.routing is not None:
        tell_sample(session, trainer, result.routing, source="eval", window_steps=0)
    if result.loss is not None:
        trainer.history.append(
            {
                "step": step,
                "epoch": trainer.steps.epoch(step),
                "eval_loss": result.loss,
                "eval_perplexity": math.exp(min(result.loss, 700.0)),
                "eval_runtime": result.eval_s,
                "eval_scope": scope,
            }
        )
