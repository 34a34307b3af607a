"""A recorded journal that can be entered anywhere: an index of its lines, and views kept along the way.

The index reads no more of a line than its time and kind, so a run of days is open in about a second. A view is the fold
of all records before it; one is kept every `EVERY` records, so going back costs no more folding than that.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_right
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.run.scan import lines
from states.codec import BadLine, decode
from states.events import Record
from states.reducer import EMPTY, fold
from states.view import RunView

EVERY = 1024
"""Records between kept views: folded in about a fiftieth of a second."""
SILENCE_S = 60.0
"""A longer silence, as between two attempts, is cut down to this on the playing clock."""
HEAD = re.compile(rb'"wall":(-?[0-9][0-9.eE+-]*),.{0,80}?"kind":"([a-z_.]{1,64})"')
TOPICS = {
    b"phase.changed": "phase",
    b"eval.completed": "eval",
    b"checkpoint.completed": "checkpoint",
    b"step.rejected": "alert",
    b"checkpoint.failed": "alert",
    b"checkpoint.skipped": "alert",
    b"deadline.approached": "alert",
    b"deadline.reached": "alert",
    b"early_stop.triggered": "alert",
    b"memory.reduced": "alert",
    b"sink.disabled": "alert",
    b"run.failed": "alert",
}
"""Kinds worth stopping at."""


class Tape:
    """One journal, indexed. Positions count records: 0 is before the first, `len(tape)` is after the last."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._ends = array("q", [0])
        self._clock = array("d")
        self._walls = array("d")
        self.marks: tuple[tuple[float, str], ...] = ()
        self._kept: dict[int, RunView] = {0: EMPTY}
        self._index()

    def _index(self) -> None:
        marks: list[tuple[float, str]] = []
        at_s, before = 0.0, None
        for end, line in lines(self._descriptor):
            head = HEAD.search(line, 0, 400)
            if head is None:
                break
            wall = float(head[1])
            at_s += 0.0 if before is None else min(max(0.0, wall - before), SILENCE_S)
            before = wall
            self._ends.append(end)
            self._clock.append(at_s)
            self._walls.append(wall)
            if topic := TOPICS.get(head[2]):
                marks.append((at_s, topic))
        self.marks = tuple(marks)

    def __len__(self) -> int:
        return len(self._clock)

    @property
    def length_s(self) -> float:
        """Seconds from the first record to the last."""
        return self._clock[-1] if self._clock else 0.0

    def position(self, at_s: float) -> int:
        """How many records there are up to `at_s`."""
        return bisect_right(self._clock, at_s)

    def seconds(self, position: int) -> float:
        """When the record before `position` was written, on the playing clock."""
        return self._clock[max(0, min(position, len(self)) - 1)] if self._clock else 0.0

    def wall(self, at_s: float) -> float:
        """The Unix time of `at_s`."""
        if not self._clock:
            return 0.0
        index = max(0, self.position(at_s) - 1)
        return self._walls[index] + min(max(0.0, at_s - self._clock[index]), SILENCE_S)

    def records(self, start: int, stop: int) -> list[Record]:
        """The records from position `start` to `stop`; fewer where a line is damaged, which ends the tape there."""
        offset, end = self._ends[start], self._ends[stop]
        data = os.pread(self._descriptor, end - offset, offset)
        found: list[Record] = []
        for line in data.splitlines(keepends=True):
            try:
                found.append(decode(line))
            except BadLine:
                self._cut(start + len(found))
                break
        return found

    def nearest(self, position: int) -> tuple[int, RunView]:
        """The last kept view at or before `position`."""
        place = max(place for place in self._kept if place <= position)
        return place, self._kept[place]

    def keep(self, position: int, view: RunView) -> None:
        """Keep the view at `position` for those who come back."""
        self._kept[position] = view

    def _cut(self, length: int) -> None:
        del self._clock[length:], self._walls[length:], self._ends[length + 1 :]
        self.marks = tuple(mark for mark in self.marks if mark[0] <= self.length_s)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Head:
    """A place on a tape with its view; it moves in short stretches, so that whoever waits for it may look up."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.position = 0
        self.view = EMPTY

    def towards(self, target: int) -> bool:
        """One stretch of at most `EVERY` records nearer to `target`; True once there."""
        tape = self._tape
        target = max(0, min(target, len(tape)))
        kept, view = tape.nearest(target)
        if target < self.position or kept > self.position:
            self.position, self.view = kept, view
        stop = min(target, (self.position // EVERY + 1) * EVERY)
        if stop > self.position:
            records = tape.records(self.position, stop)
            self.view = fold(records, self.view)
            self.position += len(records)
            if self.position % EVERY == 0:
                tape.keep(self.position, self.view)
        return self.position >= min(target, len(tape))
