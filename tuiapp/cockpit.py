"""What live view and replay have in common: what the source tells goes on the dashboard, keys go to their action.

It runs in a process of its own and holds nothing that training needs: leaving it, killing it or losing the terminal
changes nothing for the engine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable

from textual.app import App, ComposeResult
from textual.events import Key as KeyPress

from states.view import RunView
from tuiapp import keys, terminal
from tuiapp.dashboard import Dashboard
from tuiapp.frame import Frame, Link, Playhead, Request, Stage
from tuiapp.glyphs import Glyphs, choose
from tuiapp.messages import Advanced
from tuiapp.remains import Remains, look
from tuiapp.source import Source

PULSE_S = 0.1
"""Seconds between looks at whether there is something to paint."""
LIVE_S = 0.5
"""Seconds between frames of a live run, which has little news and must not be robbed of its processor."""
LIVELY_S = 0.25
"""Seconds between frames while something is being waited for."""
CLOCK_S = 1.0
"""Seconds between frames in which only clocks move."""
LOOK_S = 1.0
"""Seconds between looks at what an ended run has left on disk."""
HINT_S = 6.0
HANG_UP_S = 1.0
"""Seconds between looks at whether there is still a terminal."""
NEWS = (Link.ENDED, Link.LOST, Link.FAILED)
"""What a person who looks elsewhere would want to hear of."""
PENDING = ("requested", "accepted")
"""States of a request that is not settled."""


class Cockpit(App[int]):
    """What live view and replay have in common."""

    CSS_PATH = "styles.tcss"
    TITLE = "Stint"
    ENABLE_COMMAND_PALETTE = False
    BINDING_GROUP_TITLE = "Cockpit"

    def __init__(
        self,
        source: Source,
        *,
        link: Link,
        home: str = "",
        glyphs: Glyphs | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._source = source
        self._clock = clock
        self._home = home
        self._glyphs = glyphs or choose(os.environ, getattr(sys.__stdout__, "encoding", None))
        self._started = clock()
        self._view = RunView()
        self._link = link
        self._heard = self._started
        self._trouble = ""
        self._playhead: Playhead | None = None
        self._held: tuple[RunView, float] | None = None
        """The view that is held still, and the moment it was."""
        self._requests: tuple[Request, ...] = ()
        self._by_time = False
        self._hint = ""
        self._hint_until = 0.0
        self._dirty = True
        self._painted = 0.0
        self._titled = ""
        self._remains, self._looked = Remains(), -LOOK_S
        self.dashboard = Dashboard()
        if not self._glyphs.braille:
            self.add_class("ascii")

    def compose(self) -> ComposeResult:
        """The dashboard is all there is."""
        yield self.dashboard

    def on_mount(self) -> None:
        """Listen to signals and to the source, and begin to paint."""
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            terminal.leave_on_signals(self.leave)
            terminal.mend_after_stop(self)
        terminal.keep_title(self)
        self._source.start(self.post_message)
        self.set_interval(PULSE_S, self._pulse)
        if not self.is_headless:
            self.set_interval(HANG_UP_S, self._leave_if_hung_up)
        self.call_after_refresh(self.paint)

    def on_unmount(self) -> None:
        """End the threads."""
        self._source.close()
        self.parted()
        terminal.restore_title(self)
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            terminal.back_to_default()

    def leave(self, code: int) -> None:
        """Exit with `code`, the terminal in order."""
        self.exit(code, return_code=code)

    def frame(self, *, frozen: bool = True) -> Frame:
        """The screen at this moment; with `frozen` false, the run at this moment, whatever picture is held still."""
        view, now = self._view, self._clock()
        if self._held is not None and frozen:
            view, now = self._held
        elif self._playhead is not None:
            now = self._heard
        elif self._link is Link.LOADING and view.seq >= 0:
            # What is read so far is the past: it is shown as it was then.
            now = view.wall
        return Frame(
            view=view,
            link=self._link,
            now=now,
            started=self._started,
            heard=self._heard,
            trouble=self._trouble,
            frozen=self._held is not None,
            behind=max(0, self._view.seq - view.seq),
            by_time=self._by_time,
            hint=self._hint if self._clock() < self._hint_until else "",
            playhead=self._playhead,
            requests=self._requests,
            glyphs=self._glyphs,
            home=self._home,
            remains=self._look() if view.ending is not None else Remains(),
        )

    def _look(self) -> Remains:
        """What the run has left, looked up now and then: a report follows the last record, an evaluation any time."""
        if time.monotonic() - self._looked >= LOOK_S:
            self._looked, self._remains = time.monotonic(), look(self._home)
        return self._remains

    def paint(self) -> None:
        """Put the newest frame on the screen, unless the terminal is not taking any."""
        if terminal.stalled(self):
            return
        self._dirty = False
        self._painted = time.monotonic()
        frame = self.frame()
        self.dashboard.show(frame)
        title = terminal.title_of(frame)
        if title != self._titled:
            self._titled = title
            terminal.set_title(self, title)

    def _leave_if_hung_up(self) -> None:
        if terminal.hung_up():
            self.leave(128 + signal.SIGHUP)

    def _pulse(self) -> None:
        if self._hint and self._clock() >= self._hint_until:
            self._hint, self._dirty = "", True
        frame = self.frame()
        age = time.monotonic() - self._painted + PULSE_S / 2
        waiting = frame.stage is Stage.PREPARE or any(request.state in PENDING for request in frame.requests)
        fresh = PULSE_S if frame.playhead is not None else LIVELY_S if waiting else LIVE_S
        moving = frame.running or bool(self._hint) or frame.link is Link.LOST
        if (self._dirty and age >= fresh) or (moving and age >= (LIVELY_S if waiting and frame.running else CLOCK_S)):
            self.paint()

    def on_advanced(self, message: Advanced) -> None:
        """Take over what the source tells; painting waits for the next pulse."""
        if message.link in NEWS and self._link in {Link.LIVE, Link.STARTING}:
            self.bell()
        self._view, self._link, self._heard = message.view, message.link, message.heard or self._heard
        self._trouble, self._playhead = message.trouble, message.playhead
        self._dirty = True
        self.advanced(message)

    def advanced(self, message: Advanced) -> None:
        """For what a kind of cockpit does besides."""

    def parted(self) -> None:
        """For what a kind of cockpit still has to end."""

    def hint(self, text: str) -> None:
        """Say something on the line above the keys, for a while."""
        self._hint, self._hint_until = text, self._clock() + HINT_S
        self.paint()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Ask the key table."""
        del parameters
        key = keys.BY_ID.get(action)
        return True if key is None or key.legal(self.frame(frozen=False)) else None

    def on_key(self, event: KeyPress) -> None:
        """A key that does nothing at this moment says why."""
        frame = self.frame(frozen=False)
        for key in keys.of_mode(replay=frame.playhead is not None):
            if event.key in key.keys.split(",") and not key.legal(frame):
                self.hint(f"{key.show} ({key.label}) {key.why}")

    def action_axis(self) -> None:
        """Charts over steps, or over time."""
        self._by_time = not self._by_time
        self.paint()

    def action_help(self) -> None:
        """Open the help page."""
        from tuiapp.dialogs import HelpScreen

        self.push_screen(HelpScreen(self.frame()))

    def action_interrupt(self) -> None:
        """Ctrl+C neither leaves nor stops."""
        self.hint("q leaves the cockpit.")

    def action_detach(self) -> None:
        """Leave; the exit code says what became of the run."""
        match self._link:
            case Link.ENDED if self._view.ending is not None:
                self.leave(self._view.ending.exit_code)
            case Link.LOST | Link.FAILED:
                self.leave(1)
            case _:
                self.leave(0)
