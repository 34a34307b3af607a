"""An engine process from its lock to its exit code: opens the run, trains, records how it ended."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

from configs.errors import UserError
from configs.identity import config_hash, resolved
from engine.checkpoint.tidy import tidy
from engine.run.bus import Bus, Clock
from engine.run.control import ControlServer
from engine.run.inbox import Inbox
from engine.run.journal import Journal, read
from engine.run.rundir import EngineInfo, RunDir, write_json
from engine.run.signals import Cancelled, Flags, install
from engine.training.launch import Launch
from engine.training.on_finish import on_finish
from engine.training.orders import Aborted, Orders
from engine.training.session import Session
from engine.training.sinks import open_sinks
from engine.training.versions import versions
from states.budget import reserve_s
from states.events import SCHEMA, LogOpened, MessageLogged, PhaseChanged, RunConfigured, RunFailed, RunStopped
from states.lifecycle import Change, Lifecycle
from states.phases import ExitCode, Phase, Reason, Trigger, exit_code, outcome
from states.text import clean


def run_engine(launch: Launch, *, json: bool = False, quiet: bool = False) -> ExitCode:
    """Train in this process and return its exit code. Lines go to stdout, with `json` the journal's own."""
    rundir = RunDir(launch.directory)
    rundir.create()
    with ExitStack() as stack:
        stack.enter_context(rundir.hold_lock())
        session = _open(stack, launch, rundir, json=json, quiet=quiet)
        reason, finalized = _train(session)
        result = outcome(reason, finalized=finalized)
        code = exit_code(result)
        session.orders.inbox.expire_all(session.step)
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
    on_finish(launch, code)
    return code


def _open(stack: ExitStack, launch: Launch, rundir: RunDir, *, json: bool, quiet: bool) -> Session:
    """Everything that must exist before the first event, in the order in which it must be taken down last."""
    journal = Journal.open(rundir.events)
    before = [record.event for record in read(rundir.events) if isinstance(record.event, LogOpened)]
    run_id = before[-1].run_id if before else secrets.token_hex(4)
    attempt = len(before) + 1
    bus = Bus(journal, Clock())
    stack.callback(bus.close)
    flags = Flags()
    inbox = Inbox(bus, flags)
    sessions: list[Session] = []

    def announce(change: Change) -> None:
        bus.emit(
            PhaseChanged(
                old=change.old, new=change.new, trigger=change.trigger, step=session.step, reason=change.reason
            )
        )

    life = Lifecycle(
        announce, warmed_up=lambda: sessions[0].warmed_up(), restored=lambda: sessions[0].progress is not None
    )
    session = Session(
        launch=launch,
        rundir=rundir,
        bus=bus,
        orders=Orders(inbox),
        flags=flags,
        life=life,
        run_id=run_id,
        config_hash=config_hash(launch.config),
    )
    sessions.append(session)
    installed = versions()
    engine = EngineInfo(
        pid=os.getpid(),
        run_id=run_id,
        attempt=attempt,
        started_wall=time.time(),
        socket="",
        version=installed.get("stint", ""),
        argv=tuple(sys.argv),
    )
    rundir.write_engine(engine)
    open_sinks(stack, session, json=json, quiet=quiet)
    session.emit(
        LogOpened(
            schema=SCHEMA,
            run_id=run_id,
            attempt=attempt,
            pid=os.getpid(),
            host=socket.gethostname(),
            boot_id=_boot_id(),
            version=installed.get("stint", ""),
            argv=tuple(sys.argv),
        )
    )
    if journal.recovered:
        session.emit(MessageLogged(level="WARNING", logger="stint.journal", text=journal.recovered))
    window = launch.window
    session.reserve_s = reserve_s(window.length_s or 0.0, 0.0)
    if (minutes := launch.config.safety.reserve_minutes) is not None:
        session.reserve_s = minutes * 60.0
    session.emit(
        RunConfigured(
            config=resolved(launch.config),
            config_hash=session.config_hash,
            opened_wall=window.opened_wall,
            deadline_wall=window.deadline_wall,
            reserve_s=session.reserve_s,
        )
    )
    write_json(rundir.resolved_config, resolved(launch.config))
    for sentence in launch.said:
        session.emit(MessageLogged(level="INFO", logger="stint", text=sentence))
    stack.enter_context(install(flags, phase=lambda: life.phase, paused=lambda: life.paused))
    stack.enter_context(ControlServer(rundir, engine, inbox, session.status))
    for note in tidy(rundir.path):
        session.emit(MessageLogged(level="INFO", logger="stint", text=note))
    return session


def _train(session: Session) -> tuple[Reason, bool]:
    """Run the loop; every way out of it ends in Stopped. Returns the reason and whether Finalize ran."""
    life = session.life
    try:
        with session.task("load torch and transformers"):
            from engine.training.loop import train
        reason = train(session)
        life.fire(Trigger.CLOSE)
    except Cancelled as cancelled:
        life.fire(Trigger.CANCEL, cancelled.reason)
        return cancelled.reason, False
    except Aborted as aborted:
        life.fire(Trigger.CANCEL, Reason.OPERATOR)
        session.orders.inbox.applied(aborted.order, session.step, "aborted")
        return Reason.OPERATOR, False
    except Exception as error:  # noqa: BLE001  (the last line of defence: recorded, told, and turned into an exit code)
        _fail(session, error)
        return Reason.ERROR, False
    return reason, True


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
        )
    )
    if session.life.phase is not Phase.STOPPED:
        session.life.fire(Trigger.FAIL, Reason.ERROR)


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.is_file() else ""
