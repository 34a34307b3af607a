"""An engine process from its lock to its exit code: opens the run, trains, records how it ended."""

from __future__ import annotations

import time
import traceback
from contextlib import ExitStack, suppress

from configs.errors import UsageError, UserError
from engine.checkpoint.tidy import tidy
from engine.run.control import ControlServer
from engine.run.journal import JournalError
from engine.run.rundir import RunDir
from engine.run.signals import Cancelled, install
from engine.training.errors import Diverged
from engine.training.launch import Launch
from engine.training.on_finish import on_finish
from engine.training.opening import open_session
from engine.training.orders import Aborted
from engine.training.report_after import leave_report, promise_report
from engine.training.session import Session
from states.events import MessageLogged, RunFailed, RunStopped
from states.phases import ExitCode, Phase, Reason, Trigger, exit_code, outcome
from states.text import clean

REMEDY = (
    "This is a defect of Stint, not of your data. `--resume auto` goes on from the newest checkpoint that verifies."
)


def run_engine(launch: Launch, *, json: bool = False, quiet: bool = False) -> ExitCode:
    """Train in this process and return its exit code. Lines go to stdout, with `json` the journal's own."""
    rundir = RunDir(launch.directory)
    rundir.create()
    with rundir.hold_lock():
        code = ExitCode.ERROR
        if launch.resume is None and rundir.checkpoints():
            raise UsageError(f"{rundir.path} holds checkpoints of a run that began since this start was decided.")
        try:
            code = _run(launch, rundir, json=json, quiet=quiet)
        finally:
            on_finish(launch, code)
    return code


def _run(launch: Launch, rundir: RunDir, *, json: bool, quiet: bool) -> ExitCode:
    with ExitStack() as stack:
        session = open_session(stack, launch, rundir, json=json, quiet=quiet)
        reason, finalized, failed_code = _train(session, stack)
        result = outcome(reason, finalized=finalized)
        code = failed_code or exit_code(result)
        session.orders.inbox.expire_all(session.step)
        promised = promise_report(session, result)
        progress = session.progress
        patience = progress.patience if progress else None
        session.emit(
            RunStopped(
                outcome=result,
                reason=reason,
                step=session.step,
                tokens=progress.tokens if progress else 0,
                trained_s=progress.trained_s if progress else 0.0,
                paused_s=progress.paused_s if progress else 0.0,
                wall_s=time.monotonic() - session.started_mono,
                exit_code=int(code),
                best_loss=patience.best_loss if patience else None,
                best_step=patience.best_step if patience else None,
                checkpoint=f"checkpoint-{progress.saved_step}" if progress and progress.saved_step >= 0 else None,
            )
        )
        if promised:
            leave_report(session)
    return code


def _train(session: Session, stack: ExitStack) -> tuple[Reason, bool, ExitCode | None]:
    """Run the loop; every way out of it ends in Stopped.

    Returns the reason, whether Finalize ran, and the exit code of a failure that has one of its own.
    """
    life = session.life
    try:
        stack.enter_context(install(session.flags, phase=lambda: life.phase, paused=lambda: life.paused))
        stack.enter_context(ControlServer(session.rundir, session.engine, session.orders.inbox, session.status))
        for note in tidy(session.rundir.path):
            session.emit(MessageLogged(level="INFO", logger="stint", text=note))
        with session.task("load torch and transformers"):
            from engine.training.loop import train
        reason = train(session)
        life.fire(Trigger.CLOSE)
    except Cancelled as cancelled:
        life.fire(Trigger.CANCEL, cancelled.reason)
        return cancelled.reason, False, None
    except Aborted as aborted:
        with suppress(Diverged):  # told, and of no consequence any more
            session.settle()
        session.end_pause()
        life.fire(Trigger.CANCEL, Reason.OPERATOR)
        session.orders.inbox.applied(aborted.order, session.step, "aborted")
        return Reason.OPERATOR, False, None
    except JournalError:
        raise  # nothing can be recorded any more; run.py tells it
    except Exception as error:  # noqa: BLE001  (the last line of defence: recorded, told, and turned into an exit code)
        _fail(session, error)
        return Reason.ERROR, False, error.exit_code if isinstance(error, UserError) else None
    return reason, True, None


def _fail(session: Session, error: Exception) -> None:
    """Record a failure. No locals in the traceback: they may hold conversation text."""
    told = isinstance(error, UserError)
    session.emit(
        RunFailed(
            error_type=type(error).__name__,
            message=clean(str(error)),
            traceback="" if told else clean("".join(traceback.format_exception(error))),
            phase=session.life.phase,
            step=session.step,
            remedy="" if told else REMEDY,
        )
    )
    if session.life.phase is not Phase.STOPPED:
        session.life.fire(Trigger.FAIL, Reason.ERROR)
