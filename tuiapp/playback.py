"""The cockpit of a recorded run: time can be moved, nothing can be asked."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from tuiapp import keys
from tuiapp.cockpit import Cockpit
from tuiapp.frame import Link
from tuiapp.glyphs import Glyphs
from tuiapp.replay import ReplaySource


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
