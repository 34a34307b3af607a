"""Reads a journal while an engine writes it, from another process, by offset."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.run.scan import scan
from states.events import Record

BATCH = 1024
"""Records of one poll: folded well within the time a screen may take to answer a key, and before Python's garbage
collector has looked at them more than once."""


class Follower:
    """Delivers each record of a journal once, in order, as soon as its line is whole and checks.

    The file may not exist yet. A restarted engine cuts a torn tail off; that tail was never delivered, so nothing
    happens here. Should the file be replaced, or lose records already delivered, following starts over at its first
    record and `generation` counts up: whoever folds the records must then begin with an empty view.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._offset = 0
        self._newest: tuple[int, Record] | None = None
        """Where the newest delivered record starts, and the record: tells a file that grew from one rewritten."""
        self._exhausted: tuple[int, int] | None = None
        """Size and time of the file when everything in it had been read."""
        self.generation = 0
        """How often following started over."""

    def poll(self, limit: int = BATCH) -> list[Record]:
        """The next records, at most `limit`; an empty list when there are none yet."""
        descriptor = self._open()
        if descriptor is None:
            return []
        if self._replaced(descriptor):
            return self._start_over(limit)
        status = os.fstat(descriptor)
        state = (status.st_size, status.st_mtime_ns)
        if state == self._exhausted:
            return []
        found = scan(descriptor, 0)
        if self._newest is not None:
            start, newest = self._newest
            found = scan(descriptor, start, newest.seq)
            if next(found, None) != (self._offset, newest):
                return self._start_over(limit)
        records: list[Record] = []
        for end, record in found:
            records.append(record)
            self._newest, self._offset = (self._offset, record), end
            if len(records) >= limit:
                return records
        self._exhausted = state
        return records

    def _open(self) -> int | None:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        return self._descriptor

    def _replaced(self, descriptor: int) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        here = os.fstat(descriptor)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _start_over(self, limit: int) -> list[Record]:
        self.close()
        self._offset, self._newest, self._exhausted = 0, None, None
        self.generation += 1
        return self.poll(limit)

    def close(self) -> None:
        """Let the file go; a later poll opens it again and goes on where it was."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
