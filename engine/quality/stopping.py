"""Ctrl+C as a request: the first one is read between tokens and bins, the second one leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engine.quality.speaker import Stop


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Inside the block INT and TERM are noted, once; what is yielded tells whether one came."""
    asked = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    for each in before:
        signal.signal(each, note)
    try:
        yield lambda: asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
