"""The terminal itself: what Textual leaves to its user."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from textual.app import App

QUEUE_LIMIT = 4
"""Writes waiting for the terminal beyond which a frame is skipped."""
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Ctrl+C is a key while the cockpit runs; a SIGINT comes from outside."""


def stalled(app: App[Any]) -> bool:
    """Whether the terminal does not take what was written (a suspended SSH client, a scrolled-back tmux).

    Textual's writer thread has a bounded queue and a full one blocks the event loop, so nothing more is painted until
    it drains. The queue is private to Textual; where it is not found, nothing is ever skipped.
    """
    writer = getattr(getattr(app, "_driver", None), "_writer_thread", None)
    queue = getattr(writer, "_queue", None)
    return queue is not None and queue.qsize() > QUEUE_LIMIT


def leave_on_signals(leave: Callable[[int], None]) -> None:
    """On SIGTERM, SIGHUP or SIGINT call `leave(128 + signal)` on the loop, so that the terminal is restored."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, leave, 128 + number)


def back_to_default() -> None:
    """Take the handlers off again."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.remove_signal_handler(number)
