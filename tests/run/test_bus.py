"""The bus numbers without gaps under any load, and outlives every subscriber."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from engine.run import bus as bus_module
from engine.run.bus import Bus, Clock
from engine.run.journal import Journal, JournalError, read
from engine.run.rundir import RunDir
from engine.run.shield import SHIELD
from states.events import (
    CheckpointCompleted,
    DeadlineReached,
    MessageLogged,
    PhaseChanged,
    Record,
    RunPaused,
    RunStopped,
    SinkDisabled,
)
from states.phases import Cause, Outcome, Phase, Reason, Trigger


def message(text: str) -> MessageLogged:
    return MessageLogged(level="WARNING", logger="test", text=text)


def test_an_event_is_in_the_journal_before_any_subscriber_hears_of_it(bus: Bus, rundir: RunDir) -> None:
    in_file: list[int] = []
    bus.subscribe("reader", lambda record: in_file.append(len(list(read(rundir.events)))))
    bus.emit(message("one"))
    bus.emit(message("two"))
    assert in_file == [1, 2]


def test_subscribers_hear_the_record_as_every_reader_of_the_journal_will(bus: Bus, rundir: RunDir) -> None:
    heard: list[Record] = []
    bus.subscribe("ear", heard.append)
    bus.emit(message("a \x1b[2J clears \u202eyour screen"))
    assert heard == list(read(rundir.events))
    assert "\x1b" not in str(heard)


def test_fifty_threads_leave_no_gap_and_every_subscriber_hears_all_in_order(bus: Bus, rundir: RunDir) -> None:
    heard: list[int] = []
    bus.subscribe("ear", lambda record: heard.append(record.seq))
    start = threading.Barrier(50)

    def emit(number: int) -> None:
        start.wait()
        for i in range(20):
            bus.emit(RunPaused(step=1000 * number + i))

    threads = [threading.Thread(target=emit, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.seq for record in read(rundir.events)] == list(range(1000))
    assert heard == list(range(1000))


def test_a_subscriber_that_raises_is_switched_off_and_the_others_go_on(bus: Bus) -> None:
    heard: list[Record] = []

    def broken(_: Record) -> None:
        raise RuntimeError("no network\x1b[31m")

    bus.subscribe("tracker", broken)
    bus.subscribe("ear", heard.append)
    bus.emit(message("one"))
    bus.emit(message("two"))
    kinds = [record.event.kind for record in heard]
    assert kinds == ["message.logged", "sink.disabled", "message.logged"]
    disabled = heard[1].event
    assert isinstance(disabled, SinkDisabled)
    assert disabled.sink == "tracker"
    assert disabled.error == "RuntimeError: no network\\x1b[31m"


def test_an_event_made_by_a_subscriber_reaches_everyone_after_the_one_that_caused_it(bus: Bus) -> None:
    first: list[str] = []
    second: list[str] = []

    def talkative(record: Record) -> None:
        first.append(record.event.kind)
        if isinstance(record.event, RunPaused):
            bus.emit(message("noticed"))

    bus.subscribe("talkative", talkative)
    bus.subscribe("ear", lambda record: second.append(record.event.kind))
    bus.emit(RunPaused(step=1))
    assert first == second == ["run.paused", "message.logged"]


def test_an_event_that_json_cannot_hold_is_refused_and_leaves_no_gap(bus: Bus, rundir: RunDir) -> None:
    with pytest.raises(ValueError, match=r"deadline\.reached"):
        bus.emit(DeadlineReached(step=1, remaining_s=float("nan")))
    bus.emit(message("after"))
    assert [record.seq for record in read(rundir.events)] == [0]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    calls: list[int] = []
    real = os.fdatasync

    def counted(descriptor: int) -> None:
        calls.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    return calls


def test_phases_and_checkpoints_are_durable_when_emit_returns(
    rundir: RunDir, syncs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "SYNC_EVERY_S", 3600.0)
    bus = Bus(Journal.open(rundir.events), Clock())
    bus.emit(message("not urgent"))
    assert len(syncs) == 0
    bus.emit(PhaseChanged(old=Phase.SETUP, new=Phase.INIT, trigger=Trigger.ADVANCE, step=0))
    assert len(syncs) == 1
    bus.emit(CheckpointCompleted(step=1, path="checkpoint-1", cause=Cause.SCHEDULE, bytes=1, save_s=0.1))
    assert len(syncs) == 2
    bus.close()
    assert len(syncs) == 3


def test_anything_else_becomes_durable_soon(rundir: RunDir, syncs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "SYNC_EVERY_S", 0.01)
    bus = Bus(Journal.open(rundir.events), Clock())
    bus.emit(message("not urgent"))
    deadline = threading.Event()
    for _ in range(500):
        if syncs:
            break
        deadline.wait(0.01)
    assert syncs
    bus.close()


def test_a_journal_that_cannot_be_written_stays_fatal(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Journal, line: bytes) -> None:
        raise JournalError("the journal cannot be written (Input/output error)")

    monkeypatch.setattr(Journal, "append", broken)
    with pytest.raises(JournalError, match="Input/output"):
        bus.emit(message("lost"))
    monkeypatch.undo()
    with pytest.raises(JournalError, match="Input/output"):
        bus.emit(message("also lost"))


def test_nothing_is_recorded_after_the_run_has_stopped(bus: Bus, rundir: RunDir) -> None:
    def fails_at_the_end(record: Record) -> None:
        if record.event.kind == "run.stopped":
            raise RuntimeError("too late to say")

    heard: list[str] = []
    bus.subscribe("late", fails_at_the_end)
    bus.subscribe("ear", lambda record: heard.append(record.event.kind))
    bus.emit(message("one"))
    bus.emit(
        RunStopped(
            outcome=Outcome.FINISHED,
            reason=Reason.TARGET,
            step=1,
            tokens=1,
            trained_s=1.0,
            paused_s=0.0,
            wall_s=1.0,
            exit_code=0,
        )
    )
    with pytest.raises(JournalError, match="the run has stopped"):
        bus.emit(message("late"))
    assert heard == [record.event.kind for record in read(rundir.events)] == ["message.logged", "run.stopped"]


def test_a_full_disk_is_said_once(bus: Bus) -> None:
    heard: list[Record] = []
    bus.subscribe("ear", heard.append)
    bus._journal.disk_full = True
    bus.emit(message("one"))
    bus.emit(message("two"))
    said = [record for record in heard if "disk is full" in str(record.event)]
    assert len(said) == 1
    assert len(heard) == 3


def test_closing_twice_is_harmless_and_emitting_afterwards_is_not(rundir: RunDir) -> None:
    bus = Bus(Journal.open(rundir.events), Clock())
    bus.emit(message("one"))
    bus.close()
    bus.close()
    with pytest.raises(JournalError, match="closed"):
        bus.emit(message("two"))


def test_a_cancel_in_the_middle_of_an_emit_waits_until_the_record_is_whole(bus: Bus, rundir: RunDir) -> None:
    class Stop(BaseException):
        pass

    def signal_arrives(_: Record) -> None:
        SHIELD.throw(Stop())

    bus.subscribe("signal", signal_arrives)
    heard: list[int] = []
    bus.subscribe("ear", lambda record: heard.append(record.seq))
    with pytest.raises(Stop):
        bus.emit(message("one"))
    assert heard == [0]
    assert [record.seq for record in read(rundir.events)] == [0]
