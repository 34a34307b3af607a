"""Keeps a cancelling signal out of critical sections.

In Setup and Init a signal raises in the main thread at any bytecode. In the middle of a journal write that would
leave a number used twice or a lock held for ever, so such a section runs shielded and the exception waits for its end.
"""

from __future__ import annotations

import threading
from types import TracebackType


class Shield:
    """Defers what signal handlers raise; nests. Outside the main thread, where no signal arrives, it does nothing."""

    __slots__ = ("_depth", "_pending")

    def __init__(self) -> None:
        self._depth = 0
        self._pending: BaseException | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth -= 1
        if self._depth == 0 and self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending

    def throw(self, error: BaseException) -> None:
        """Raise `error` now, or as soon as the main thread leaves its last shielded section. For signal handlers."""
        if self._depth:
            self._pending = error
        else:
            raise error


SHIELD = Shield()
"""Signals belong to the process, and so does the shield: handlers and journal writers must share one."""
