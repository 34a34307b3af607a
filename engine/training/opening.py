"""Opening a run: its journal, its subscribers, and the first records of this attempt."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from configs.identity import config_hash, resolved
from engine.run.bus import Bus, Clock
from engine.run.inbox import Inbox
from engine.run.journal import Journal
from engine.run.rundir import EngineInfo, RunDir, write_json
from engine.run.signals import Flags
from engine.training.found import attempts
from engine.training.launch import Launch
from engine.training.orders import Orders
from engine.training.session import Session
from engine.training.sinks import open_sinks, open_watchers
from engine.training.versions import versions
from states.budget import reserve_s
from states.events import SCHEMA, LogOpened, MessageLogged, PhaseChanged, RunConfigured
from states.lifecycle import Change, Lifecycle


def open_session(stack: ExitStack, launch: Launch, rundir: RunDir, *, json: bool, quiet: bool) -> Session:
    """Open the journal with its subscribers and write its first records; `stack` takes it all down in reverse."""
    journal = Journal.open(rundir.events)
    before = attempts(rundir.events)
    run_id = before[-1].run_id if before else secrets.token_hex(4)
    attempt = len(before) + 1
    bus = Bus(journal, Clock())
    stack.callback(bus.close)
    flags = Flags()
    inbox = Inbox(bus, flags)
    sessions: list[Session] = []

    def announce(change: Change) -> None:
        session.emit(
            PhaseChanged(
                old=change.old, new=change.new, trigger=change.trigger, step=session.step, reason=change.reason
            )
        )

    life = Lifecycle(announce, warmed_up=lambda: sessions[0].warmed_up(), restored=lambda: sessions[0].step > 0)
    session = Session(
        launch=launch,
        rundir=rundir,
        bus=bus,
        orders=Orders(inbox),
        flags=flags,
        life=life,
        run_id=run_id,
        config_hash=config_hash(launch.config),
        engine=EngineInfo(
            pid=os.getpid(),
            run_id=run_id,
            attempt=attempt,
            started_wall=time.time(),
            socket="",
            version=versions().get("stint", ""),
            argv=tuple(sys.argv),
        ),
        reserve_s=_reserve(launch),
    )
    sessions.append(session)
    rundir.write_engine(session.engine)
    open_sinks(stack, session, json=json, quiet=quiet)
    _first_records(session, journal.recovered)
    open_watchers(stack, session)
    return session


def _first_records(session: Session, recovered: str | None) -> None:
    engine, launch = session.engine, session.launch
    session.emit(
        LogOpened(
            schema=SCHEMA,
            run_id=engine.run_id,
            attempt=engine.attempt,
            pid=engine.pid,
            host=socket.gethostname(),
            boot_id=_boot_id(),
            version=engine.version,
            argv=engine.argv,
            versions=versions(),
        )
    )
    if recovered:
        session.emit(MessageLogged(level="WARNING", logger="stint.journal", text=recovered))
    config = resolved(launch.config)
    session.emit(
        RunConfigured(
            config=config,
            config_hash=session.config_hash,
            opened_wall=launch.window.opened_wall,
            deadline_wall=launch.window.deadline_wall,
            reserve_s=session.reserve_s,
        )
    )
    write_json(session.rundir.resolved_config, config)
    for sentence in launch.said:
        session.emit(MessageLogged(level="INFO", logger="stint", text=sentence))


def _reserve(launch: Launch) -> float:
    """Seconds kept for Finalize before its cost is known."""
    minutes = launch.config.safety.reserve_minutes
    return reserve_s(launch.window.length_s or 0.0, 0.0) if minutes is None else minutes * 60.0


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.is_file() else ""
