"""The terminal itself: what Textual leaves to its user."""

from __future__ import annotations

import asyncio
import select
import signal
from collections.abc import Callable
from typing import Any

from textual.app import App

from tuiapp import format as fmt
from tuiapp.frame import Frame, Link
from tuiapp.ink import inert
from tuiapp.outlook import outlook

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


def hung_up(descriptor: int = 0) -> bool:
    """Whether the terminal behind `descriptor` is gone.

    SIGHUP only reaches a process whose controlling terminal it was; any other would read end-of-file for ever, and
    Textual's input thread spins on it.
    """
    poll = select.poll()
    try:
        poll.register(descriptor, 0)  # only what is always reported: an error or a hang-up
        return bool(poll.poll(0))
    except OSError:
        return False


def keep_title(app: App[Any]) -> None:
    """Ask the terminal to remember its title."""
    _write(app, "\x1b[22;2t")


def set_title(app: App[Any], title: str) -> None:
    """Name the window or tab; control characters are taken out, or the title could say more than its name."""
    _write(app, f"\x1b]2;{inert(title)}\x07")


def restore_title(app: App[Any]) -> None:
    """Give the terminal its title back; where it keeps none, nothing happens."""
    _write(app, "\x1b[23;2t")


def _write(app: App[Any], text: str) -> None:
    driver = getattr(app, "_driver", None)
    if driver is not None and not driver.is_headless:
        driver.write(text)


def title_of(frame: Frame) -> str:
    """The run in a tab: `57% main, loss 1.730, 5h47 left`."""
    view = frame.view
    if frame.link not in {Link.LIVE, Link.REPLAY}:
        return f"stint {frame.link}"
    parts = [f"{'paused in ' if view.paused else ''}{view.phase}"]
    if view.plan is not None and view.plan.planned_steps and view.progress.step:
        parts[0] = f"{100 * view.progress.step // view.plan.planned_steps}% {parts[0]}"
        parts.append(f"loss {fmt.loss(view.progress.smooth_loss)}")
    left = outlook(frame).left_s
    if left is not None:
        # To the minute, or the title would change with every second.
        parts.append(f"{fmt.brief(max(60.0, left))} left")
    return "stint " + ", ".join(parts)


def leave_on_signals(leave: Callable[[int], None]) -> None:
    """On SIGTERM, SIGHUP or SIGINT call `leave(128 + signal)` on the loop, so that the terminal is restored."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, leave, 128 + number)


def mend_after_stop(app: App[Any]) -> None:
    """On SIGCONT take the terminal anew, as a shell has changed it meanwhile or nothing has.

    Textual takes it a second time without having let go when a SIGSTOP preceded, which no program hears of. Then two
    threads read the keys, each loses some to the other, and leaving waits for one of them for ever.
    """
    driver: Any = getattr(app, "_driver", None)

    def go_on() -> None:
        reader = getattr(driver, "_key_thread", None)
        if reader is not None and reader.is_alive():
            driver.suspend_application_mode()
        driver.resume_application_mode()
        app.refresh(layout=True)

    if driver is not None and not driver.is_headless:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, go_on)


def back_to_default() -> None:
    """Take the handlers off again."""
    loop = asyncio.get_running_loop()
    for number in (*SIGNALS, signal.SIGCONT):
        loop.remove_signal_handler(number)
