"""The cockpit of a running engine: what the keys ask for goes on its way, and everything comes back as news."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType

from states.commands import Checkpoint, Command, Evaluate, Finish, Pause, Unpause
from tuiapp import keys
from tuiapp.cockpit import Cockpit
from tuiapp.frame import Link
from tuiapp.glyphs import Glyphs
from tuiapp.messages import Advanced, Answered
from tuiapp.orders import Desk, Presence
from tuiapp.source import Source

KEPT_REQUESTS = 8


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

    def parted(self) -> None:
        """Ask no more, and say good-bye to the engine."""
        self._desk.close()
        if self._presence is not None:
            self._presence.close()

    def advanced(self, message: Advanced) -> None:
        """Show every new engine process that somebody watches."""
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

        from tuiapp.dialogs import PauseDialog

        def answered(yes: bool | None) -> None:
            if yes:
                self.order(Pause(), "pause")

        self.push_screen(PauseDialog(self.frame(frozen=False)), answered)

    def action_stop(self) -> None:
        """Open the stop menu."""
        from tuiapp.dialogs import StopMenu

        def answered(command: Command | None) -> None:
            if command is not None:
                cooled = isinstance(command, Finish) and command.cooldown_s > 0
                self.order(command, "finish with a cool-down" if cooled else command.name)

        self.push_screen(StopMenu(self.frame(frozen=False)), answered)

    def action_freeze(self) -> None:
        """Hold the picture still, or catch up."""
        self._held = None if self._held is not None else (self._view, self._clock())
        self.paint()

    def action_interrupt(self) -> None:
        """Ctrl+C neither leaves nor stops."""
        self.hint("q detaches and training goes on; x opens the stop menu.")
