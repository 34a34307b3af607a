"""What a signal means to the engine, by phase. Nothing is installed on import: the engine's entry does it once.

SETUP, INIT      INT, TERM   raise `Cancelled` in the main thread: a model load cannot poll a flag
WARMUP, MAIN     INT, TERM   `flags.stop`: finish with a checkpoint
FINALIZE on      INT, TERM   `flags.hurry`: skip what is optional
any              second INT  leave at once, exit code 130
any              USR1, USR2  checkpoint; pause or unpause
any              HUP         ignored: a closed terminal is no reason to stop
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import FrameType

from engine.run.shield import SHIELD
from states.commands import Checkpoint, Command, Pause, Unpause
from states.phases import TRAINING, ExitCode, Phase, Reason

_SAME_PRESS_S = 0.1
"""`uv run`, `timeout` and shells may deliver one Ctrl-C twice, milliseconds apart; a person is slower."""
_NUDGE = signal.SIGURG
"""How another thread interrupts the main one; without a handler the kernel drops it."""
_LOADING = (Phase.SETUP, Phase.INIT)


class Cancelled(BaseException):
    """The run was cancelled before there was anything to finalize.

    Not an `Exception`, so that a library's `except Exception` in the middle of a load cannot swallow it.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"cancelled: {reason}")
        self.reason = reason


class Flags:
    """What signals asked for. The loop reads `stop` and `hurry` in every step and every long wait: plain attributes."""

    __slots__ = ("_cancel_reason", "_cancelled", "_first_interrupt", "hurry", "orders", "stop")

    def __init__(self) -> None:
        self.stop = False
        self.hurry = False
        self.orders: SimpleQueue[Command] = SimpleQueue()
        """Orders of USR1 and USR2; a SimpleQueue because its put is safe inside a handler."""
        self._first_interrupt: float | None = None
        self._cancel_reason = Reason.SIGNAL
        self._cancelled = False

    def cancel(self, reason: Reason) -> None:
        """From any thread: cancel for `reason` a run that is still in Setup or Init; a later phase takes no notice."""
        self._cancel_reason = reason
        ident = threading.main_thread().ident
        if ident is not None:
            signal.pthread_kill(ident, _NUDGE)

    def raise_cancelled(self, reason: Reason) -> None:
        """Inside a handler, in Setup or Init. Once only: a second TERM must not break the clean-up after the first."""
        if not self._cancelled:
            self._cancelled = True
            SHIELD.throw(Cancelled(reason))

    def interrupted(self) -> bool:
        """Inside a handler, for INT: leaves at once on the second press; False for an echo of the first."""
        pressed = time.monotonic()
        if self._first_interrupt is None:
            self._first_interrupt = pressed
            return True
        if pressed - self._first_interrupt > _SAME_PRESS_S:
            os._exit(ExitCode.CANCELLED)
        return False

    @property
    def cancel_reason(self) -> Reason:
        """The reason of the latest `cancel`."""
        return self._cancel_reason


@contextlib.contextmanager
def install(flags: Flags, *, phase: Callable[[], Phase], paused: Callable[[], bool]) -> Iterator[None]:
    """Route the process's signals to `flags` while the block lasts. Main thread only.

    `phase` and `paused` are asked inside the handlers, so they must do nothing but read.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and not flags.interrupted():
            return
        if phase() in _LOADING:
            flags.raise_cancelled(Reason.SIGNAL)
        elif phase() in TRAINING:
            flags.stop = True
        else:
            flags.hurry = True

    def nudged(_number: int, _frame: FrameType | None) -> None:
        if phase() in _LOADING:
            flags.raise_cancelled(flags.cancel_reason)

    def checkpoint(_number: int, _frame: FrameType | None) -> None:
        flags.orders.put(Checkpoint())

    def toggle_pause(_number: int, _frame: FrameType | None) -> None:
        flags.orders.put(Unpause() if paused() else Pause())

    routes: dict[int, Callable[[int, FrameType | None], None] | signal.Handlers] = {
        signal.SIGINT: stop,
        signal.SIGTERM: stop,
        signal.SIGUSR1: checkpoint,
        signal.SIGUSR2: toggle_pause,
        signal.SIGHUP: signal.SIG_IGN,
        _NUDGE: nudged,
    }
    before = {number: signal.signal(number, route) for number, route in routes.items()}
    try:
        yield
    finally:
        for number, route in before.items():
            signal.signal(number, route)
