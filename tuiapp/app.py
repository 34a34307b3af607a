"""The cockpit: puts what the source tells on the dashboard, and what the keys ask for on its way.

It runs in a process of its own and holds nothing that training needs: leaving it, killing it or losing the terminal
changes nothing for the engine.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.events import Key as KeyPress

from engine.run.client import Client
from engine.run.rundir import RunDir
from states.commands import Checkpoint, Command, Evaluate, Finish, Pause, Unpause
from states.view import RunView
from tuiapp import keys, terminal
from tuiapp.dashboard import Dashboard
from tuiapp.dialogs import HelpScreen, PauseDialog, StopMenu
from tuiapp.frame import Frame, Link, Playhead, Request, Stage
from tuiapp.glyphs import Glyphs, choose
from tuiapp.messages import Advanced, Answered
from tuiapp.orders import Desk, Presence
from tuiapp.receipt import receipt
from tuiapp.replay import ReplaySource
from tuiapp.source import LiveSource, Source
from tuiapp.tape import Tape

PULSE_S = 0.25
"""Seconds between looks at whether there is something to paint."""
CLOCK_S = 1.0
"""Seconds between frames in which only clocks move."""
HINT_S = 6.0
KEPT_REQUESTS = 8


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
        self._held: RunView | None = None
        self._requests: tuple[Request, ...] = ()
        self._by_time = False
        self._hint = ""
        self._hint_until = 0.0
        self._dirty = True
        self._painted = 0.0
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
        self._source.start(self.post_message)
        self.set_interval(PULSE_S, self._pulse)
        self.call_after_refresh(self.paint)

    def on_unmount(self) -> None:
        """End the threads."""
        self._source.close()
        with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
            terminal.back_to_default()

    def leave(self, code: int) -> None:
        """Exit with `code`, the terminal in order."""
        self.exit(code, return_code=code)

    def frame(self) -> Frame:
        """The screen at this moment."""
        now = self._clock()
        if self._playhead is not None:
            now = self._heard
        elif self._view.ending is not None and self._link is Link.ENDED:
            now = max(self._view.wall, now) if self._held is None else now
        view = self._held if self._held is not None else self._view
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
        )

    def paint(self) -> None:
        """Put the newest frame on the screen, unless the terminal is not taking any."""
        if terminal.stalled(self):
            return
        self._dirty = False
        self._painted = time.monotonic()
        self.dashboard.show(self.frame())

    def _pulse(self) -> None:
        frame = self.frame()
        lively = frame.stage is Stage.PREPARE or (frame.view.task is not None and frame.running)
        due = time.monotonic() - self._painted >= (PULSE_S if lively else CLOCK_S) - 0.02
        if self._dirty or (due and (frame.running or frame.hint or self._link is Link.LOST or self._hint)):
            self.paint()

    def on_advanced(self, message: Advanced) -> None:
        """Take over what the source tells; painting waits for the next pulse."""
        self._view, self._link, self._heard = message.view, message.link, message.heard or self._heard
        self._trouble, self._playhead = message.trouble, message.playhead
        self._dirty = True

    def hint(self, text: str) -> None:
        """Say something on the line above the keys, for a while."""
        self._hint, self._hint_until = text, self._clock() + HINT_S
        self.paint()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Ask the key table."""
        del parameters
        key = keys.BY_ID.get(action)
        return True if key is None or key.legal(self.frame()) else None

    def on_key(self, event: KeyPress) -> None:
        """A key that does nothing at this moment says why."""
        frame = self.frame()
        for key in keys.of_mode(replay=frame.playhead is not None):
            if event.key in key.keys.split(",") and not key.legal(frame):
                self.hint(f"{key.show} ({key.label}) {key.why}")

    def action_axis(self) -> None:
        """Charts over steps, or over time."""
        self._by_time = not self._by_time
        self.paint()

    def action_help(self) -> None:
        """Open the help page."""
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


class LiveCockpit(Cockpit):
    """A running engine: everything that can be asked of it."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(replay=False)]

    def __init__(
        self,
        source: Source,
        desk: Desk,
        *,
        presence: Presence | None = None,
        link: Link = Link.STARTING,
        home: str = "",
        glyphs: Glyphs | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(source, link=link, home=home, glyphs=glyphs, clock=clock)
        self._desk = desk
        self._presence = presence
        self._attended = 0

    def on_unmount(self) -> None:
        """End the threads, and say good-bye to the engine."""
        super().on_unmount()
        self._desk.close()
        if self._presence is not None:
            self._presence.close()

    def on_advanced(self, message: Advanced) -> None:
        """As ever; and show every new engine process that somebody watches."""
        super().on_advanced(message)
        pid = message.view.identity.pid
        if self._presence is not None and message.link is Link.LIVE and pid != self._attended:
            self._attended = pid
            self._presence.attend()

    def on_answered(self, message: Answered) -> None:
        """A command moved on."""
        others = tuple(request for request in self._requests if request.number != message.request.number)
        self._requests = (*others, message.request)[-KEPT_REQUESTS:]
        self._dirty = True

    def order(self, command: Command, label: str) -> None:
        """Send a command."""
        request = self._desk.send(command, label, self.post_message)
        self._requests = (*self._requests, request)[-KEPT_REQUESTS:]
        self.paint()

    def action_checkpoint(self) -> None:
        """Write a checkpoint."""
        self.order(Checkpoint(), "checkpoint")

    def action_evaluate(self) -> None:
        """Evaluate."""
        self.order(Evaluate(), "evaluate")

    def action_pause(self) -> None:
        """Hold training after a question, or go on at once."""
        if self._view.paused:
            self.order(Unpause(), "resume")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.order(Pause(), "pause")

        self.push_screen(PauseDialog(self.frame()), answered)

    def action_stop(self) -> None:
        """Open the stop menu."""

        def answered(command: Command | None) -> None:
            if command is not None:
                cooled = isinstance(command, Finish) and command.cooldown_s > 0
                self.order(command, "finish with a cool-down" if cooled else command.name)

        self.push_screen(StopMenu(self.frame()), answered)

    def action_freeze(self) -> None:
        """Hold the picture still, or catch up."""
        self._held = None if self._held is not None else self._view
        self.paint()

    def action_interrupt(self) -> None:
        """Ctrl+C neither leaves nor stops."""
        self.hint("q detaches and training goes on; x opens the stop menu.")


class ReplayCockpit(Cockpit):
    """A recorded run: time can be moved, nothing can be asked."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(replay=True)]
    SEEK_S = 10.0

    def __init__(self, player: ReplaySource, *, home: str = "", glyphs: Glyphs | None = None) -> None:
        super().__init__(player, link=Link.REPLAY, home=home, glyphs=glyphs)
        self._player = player
        self._playhead = player.playhead()

    def action_play(self) -> None:
        """Play or hold."""
        self._player.toggle()

    def action_rewind(self) -> None:
        """Ten seconds back."""
        self._player.seek(-self.SEEK_S)

    def action_forward(self) -> None:
        """Ten seconds ahead."""
        self._player.seek(self.SEEK_S)

    def action_slower(self) -> None:
        """Half the speed."""
        self._player.slower()

    def action_faster(self) -> None:
        """Double the speed."""
        self._player.faster()

    def action_previous_mark(self) -> None:
        """Back to a mark."""
        self._player.mark(-1)

    def action_next_mark(self) -> None:
        """On to a mark."""
        self._player.mark(1)

    def action_record(self) -> None:
        """One record on."""
        self._player.step()

    def action_to_start(self) -> None:
        """To the start."""
        self._player.seek_to(0.0)

    def action_to_end(self) -> None:
        """To the end."""
        self._player.seek_to(float("inf"))


def run_live(rundir: Path, *, attach_command: str, launcher_error: Callable[[], str | None] | None = None) -> int:
    """Show the run in `rundir` until the user leaves; returns the exit code for the shell.

    With `launcher_error` an engine was just started: the screen is up before its directory is, and that function tells
    the engine's last words once it has died without a record. Returns 0 on detach, the run's own code after its end, 1
    when it is lost or never came up, 128 + n on signal n.
    """
    home = RunDir(rundir)
    source = LiveSource(home, launched=launcher_error is not None, launcher_error=launcher_error)
    app = LiveCockpit(source, Desk(Client(home)), presence=Presence(home), link=source.link, home=str(rundir))
    code = _run(app)
    with contextlib.suppress(OSError):
        sys.stdout.write("".join(f"{line}\n" for line in receipt(app.frame(), attach_command)))
        sys.stdout.flush()
    return code


def run_replay(events: Path, *, speed: float, at: float | None) -> int:
    """Play the journal `events` from `at` seconds after its first record, until the user leaves."""
    tape = Tape(events)
    return _run(ReplayCockpit(ReplaySource(tape, speed=speed, at=at), home=str(events.parent)))


def _run(app: Cockpit) -> int:
    code = app.run()
    return code if code is not None else app.return_code or 0
