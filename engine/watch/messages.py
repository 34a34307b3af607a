"""Brings warnings and errors of libraries into the run's own story, as `message.logged` events."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator

from engine.run.bus import Bus
from states.events import MessageLogged
from states.text import one_line

MAX_TEXT = 500
WINDOW_S = 60.0
MAX_SAME = 3
"""One place in the code may speak this often in a window ..."""
MAX_ALL = 30
"""... and all of them together this often."""
_OWN_ROOTS = ("", "transformers")
"""Loggers to listen at. transformers does not pass its messages on to the root."""


class EventHandler(logging.Handler):
    """A logging handler that emits events. It never raises and never waits for itself."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(logging.WARNING)
        self._bus = bus
        self._inside = threading.local()
        self._counting = threading.Lock()
        self._window = 0.0
        self._spoken: Counter[tuple[str, str]] = Counter()
        self._left_out = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit without the handler's lock.

        A subscriber may log while the bus holds its own lock; another thread that came the other way round, from this
        handler's lock to the bus, would wait for ever.
        """
        if record.levelno < self.level or not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Turn one log record into an event, unless this thread is doing just that or it repeats itself."""
        if getattr(self._inside, "busy", False) or getattr(record, "stint_seen", False):
            return
        self._inside.busy = True
        try:
            record.stint_seen = True
            left_out = self._admit((record.name, str(record.msg)))
            if left_out is None:
                return
            if left_out:
                self._say("WARNING", "stint", f"{left_out} more messages were left out in the last minute")
            self._say(record.levelname, record.name, _text(record))
        except Exception:  # noqa: BLE001  (a message that cannot be recorded must not hurt who logged it)
            return
        finally:
            self._inside.busy = False

    def _admit(self, place: tuple[str, str]) -> int | None:
        """None for a message to leave out; else how many were left out in the window that just ended."""
        with self._counting:
            ended = 0
            now = time.monotonic()
            if now - self._window >= WINDOW_S:
                ended, self._left_out, self._window = self._left_out, 0, now
                self._spoken.clear()
            if self._spoken[place] >= MAX_SAME or self._spoken.total() >= MAX_ALL:
                self._left_out += 1
                return None
            self._spoken[place] += 1
            return ended

    def _say(self, level: str, logger: str, text: str) -> None:
        self._bus.emit(MessageLogged(level=level, logger=logger, text=text))


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text} ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
    return one_line(text, MAX_TEXT)


@contextlib.contextmanager
def record_messages(bus: Bus) -> Iterator[None]:
    """While the block lasts, warnings and errors from `logging` and `warnings` are events."""
    handler = EventHandler(bus)
    loggers = [logging.getLogger(name) for name in _OWN_ROOTS]
    for logger in loggers:
        logger.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger in loggers:
            logger.removeHandler(handler)
