"""One run, top to bottom: Setup, Init, Warmup, Main, Finalize. Everything it calls answers; only the loop decides.

Setup     read and tokenise the conversations, plan the steps into the window
Init      load the base, attach adapters and experts, restore or begin, measure
Warmup    optimizer steps while the learning rate rises
Main      optimizer steps along the cosine, which is replanned when time runs short
Finalize  final checkpoint, the best model evaluated on all validation data and published
"""

from __future__ import annotations

import time

from engine.run.signals import Cancelled
from engine.training.build import build
from engine.training.deadline import move_horizon, time_is_up, why_done
from engine.training.errors import Diverged
from engine.training.evaluating import evaluate_now
from engine.training.experts import keep_centred
from engine.training.finalize import finalize
from engine.training.memory import step_in_memory
from engine.training.obey import obey
from engine.training.preparing import prepare_run
from engine.training.reporting import report_step, tell_early_stop
from engine.training.saving import find_checkpoint, save_now
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.phases import Cause, Phase, Reason, Trigger
from states.schedule import learning_rate

PAUSE_POLL_S = 1.0
"""How often a paused loop looks at the clock; an order or a signal wakes it at once."""


def train(session: Session) -> Reason:
    """Run `session` from Setup to the end of Finalize and return why training ended."""
    life = session.life
    checkpoint = find_checkpoint(session)
    prepared, tokenizer, plan = prepare_run(session, checkpoint)

    life.fire(Trigger.ADVANCE)  # Setup -> Init
    trainer = build(session, prepared, tokenizer, plan, checkpoint)
    catch_up(session, trainer)

    life.fire(Trigger.ADVANCE)  # Init -> Warmup, or Main where the warm-up was done before a resume
    session.saved_mono = time.monotonic()
    reason = None
    while reason is None:
        reason = obey(session, trainer) or verdict(session, trainer)
        if reason is None and life.paused:
            session.orders.inbox.wait(PAUSE_POLL_S)
        elif reason is None:
            one_step(session, trainer)

    life.fire(Trigger.FINISH, reason)  # -> Finalize
    finalize(session, trainer, reason)
    return reason


def catch_up(session: Session, trainer: Trainer) -> None:
    """What must be known before the next step: the untouched model's loss, or the evaluation that a stop cut short."""
    if session.step == 0:
        evaluate_now(session, trainer, full=True)
        if time_is_up(session, trainer):
            # Nothing was trained, so there is nothing to finalize; a resume with new hours begins.
            raise Cancelled(Reason.DEADLINE)
    elif session.step % trainer.eval_every == 0 and session.training.evaluated_step != session.step:
        evaluate_now(session, trainer)


def one_step(session: Session, trainer: Trainer) -> None:
    """One optimizer step, and whatever is due after it."""
    before = session.training
    rate = learning_rate(before.horizon, trainer.config.training.learning_rate)
    started = time.perf_counter()
    stats = step_in_memory(session, trainer, rate=rate, ramp=trainer.balance_ramp(before.step))
    # Not `before`: where memory ran out, the step before it has been told meanwhile.
    session.progress = session.training.stepped(tokens=stats.tokens, targets=stats.targets)
    report_step(session, trainer, stats, rate=rate, host_s=time.perf_counter() - started)
    move_horizon(session, trainer)
    keep_centred(session, trainer)

    if session.life.phase is Phase.WARMUP and session.warmed_up():
        session.life.fire(Trigger.ADVANCE)  # -> Main
    if session.step % trainer.eval_every == 0:
        evaluate_now(session, trainer)
    if session.save_is_due():
        save_now(session, trainer, Cause.SCHEDULE)


def verdict(session: Session, trainer: Trainer) -> Reason | None:
    """Why training ends at this step boundary, None where it goes on."""
    progress = session.training
    if session.flags.stop:
        return Reason.SIGNAL
    if progress.horizon.done:
        return why_done(session, trainer)
    if time_is_up(session, trainer):
        return Reason.DEADLINE
    if progress.patience.exhausted and progress.patience.best_loss is None:
        raise Diverged(
            f"No evaluation up to step {progress.step} had a finite loss. Lower learning_rate (it is "
            f"{trainer.config.training.learning_rate:g}), or look for damaged conversations."
        )
    if session.config.safety.enable_early_stopping and progress.patience.exhausted:
        tell_early_stop(session)
        return Reason.EARLY_STOP
    return None
