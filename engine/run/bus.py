"""Where every fact of a run passes through: numbered, written to the journal, then told to the subscribers.

Any thread may emit. Subscribers get the record as every reader of the journal will see it, in order, return nothing
and veto nothing. One that fails is switched off; only a journal that cannot be written ends the run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engine.run.journal import Journal, JournalError
from engine.run.shield import SHIELD
from states.codec import decode, encode
from states.events import (
    CheckpointCompleted,
    Event,
    MessageLogged,
    PhaseChanged,
    Record,
    RunConfigured,
    RunFailed,
    RunStopped,
    SinkDisabled,
)
from states.text import one_line

Sink = Callable[[Record], None]

SYNC_EVERY_S = 1.0
"""A power cut costs at most this much of the journal ..."""
SYNC_AT_ONCE = (PhaseChanged, CheckpointCompleted, RunConfigured, RunFailed, RunStopped)
"""... and nothing that others act upon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Unix seconds for people and deadlines, monotonic seconds for durations."""

    wall: Callable[[], float] = time.time
    mono: Callable[[], float] = time.monotonic


class Bus:
    """Emits events into one journal and to its subscribers."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._sinks: list[tuple[str, Sink]] = []
        self._lock = threading.RLock()
        self._undelivered: deque[Record] = deque()
        self._delivering = False
        self._dirty = False
        self._told_disk_full = False
        self._broken: JournalError | None = None
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_regularly, name="journal-sync", daemon=True)
        self._syncer.start()

    def subscribe(self, name: str, sink: Sink) -> None:
        """Call `sink` with every record from now on, in the emitting thread; it must be quick."""
        with SHIELD, self._lock:
            self._sinks.append((name, sink))

    def emit(self, event: Event) -> Record:
        """Record `event` and tell the subscribers.

        Raises:
            JournalError: the journal cannot be written, is closed, or has its `run.stopped`.
            ValueError: the event holds what JSON cannot (a float that is not finite where None is not allowed).
        """
        with SHIELD, self._lock:
            record = self._write(event)
            if self._journal.disk_full and not self._told_disk_full:
                self._told_disk_full = True
                self._write(
                    MessageLogged(
                        level="ERROR",
                        logger="stint.journal",
                        text="the disk is full; the journal goes on in the space kept aside for it, "
                        "checkpoints will fail: free some space",
                    )
                )
            self._deliver()
            if isinstance(event, RunStopped):
                # The last record of an attempt: a sample or a warning that comes later would follow it.
                self._broken = JournalError("the run has stopped, nothing more is recorded")
        return record

    def _write(self, event: Event) -> Record:
        if self._broken is not None:
            raise self._broken
        line = encode(Record(seq=self._journal.next_seq, wall=self._clock.wall(), mono=self._clock.mono(), event=event))
        try:
            self._journal.append(line)
            if isinstance(event, SYNC_AT_ONCE):
                self._journal.sync()
                self._dirty = False
            else:
                self._dirty = True
        except JournalError as error:
            self._broken = error
            raise
        record = decode(line)
        self._undelivered.append(record)
        return record

    def _deliver(self) -> None:
        if self._delivering:
            # A subscriber made this event: the delivery that is under way will reach it, in order.
            return
        self._delivering = True
        try:
            while self._undelivered:
                record = self._undelivered.popleft()
                for subscription in tuple(self._sinks):
                    self._tell(subscription, record)
        finally:
            self._delivering = False

    def _tell(self, subscription: tuple[str, Sink], record: Record) -> None:
        name, sink = subscription
        try:
            sink(record)
        except Exception as error:  # noqa: BLE001  (whatever a subscriber does, training goes on)
            self._sinks.remove(subscription)
            if not isinstance(record.event, RunStopped):
                self._write(SinkDisabled(sink=name, error=one_line(f"{type(error).__name__}: {error}")))

    def _sync_regularly(self) -> None:
        while not self._closing.wait(SYNC_EVERY_S):
            if self._dirty:
                self._dirty = False
                try:
                    self._journal.sync()
                except JournalError as error:
                    self._broken = error
                    return

    def close(self) -> None:
        """Make the journal durable and close it. Emitting afterwards raises; closing twice does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._syncer.join()
        with SHIELD, self._lock:
            if self._broken is None:
                self._journal.sync()
            self._broken = JournalError("the journal is closed")
            self._journal.close()
