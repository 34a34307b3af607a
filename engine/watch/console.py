"""The run on a plain stream: lines for people, or the journal's own lines for scripts.

A terminal may be gone (EIO, EPIPE) or frozen, its reader stopped for hours: neither may stop training. So the lines
are written by a thread of their own, and a stream that fails is never written to again.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from typing import TextIO

from engine.watch.story import Story
from states.codec import encode
from states.events import Record

MAX_WAITING = 10_000
"""Lines kept for a stream that is not read; beyond it the oldest are dropped."""
_CLOSE_S = 2.0


class Console:
    """A subscriber that prints. `json` writes each record as the journal has it, and nothing else."""

    def __init__(self, stream: TextIO, *, every: int = 10, json: bool = False) -> None:
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._story = Story(every)
        self._json = json
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._changed = threading.Condition()
        self._closing = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)
        self._thread.start()

    def __call__(self, record: Record) -> None:
        """Queue the lines of one record."""
        lines = [encode(record).decode().rstrip("\n")] if self._json else self._story.tell(record)
        if lines:
            with self._changed:
                self._waiting.extend(lines)
                self._changed.notify()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                text = "".join(f"{line}\n" for line in self._waiting)
                self._waiting.clear()
            try:
                # A terminal in the C locale still gets every line, with escapes for what it cannot show.
                self._put(text.encode(self._encoding, "backslashreplace"))
            except (OSError, ValueError):
                with self._changed:
                    self._waiting = deque(maxlen=0)
                return

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Write what is left, but wait no longer than `timeout_s` for a stream that takes nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        # A thread left hanging must not go on once its descriptor may be somebody else's.
        self._abandoned = True

    def _put(self, data: bytes) -> None:
        if self._descriptor is None:
            self._stream.write(data.decode(self._encoding))
            self._stream.flush()
            return
        view = memoryview(data)
        while view and not self._abandoned:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                # Whoever shares this terminal made it non-blocking.
                select.select([], [self._descriptor], [])


def _descriptor(stream: TextIO) -> int | None:
    """The stream's descriptor, to write past its buffer, or None where it has none.

    A thread that hangs inside a buffered write holds the buffer's lock, and the interpreter aborts over it at exit.
    """
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
