"""What the threads post to the screen. Every message replaces its predecessor that was not handled yet."""

from __future__ import annotations

from textual.message import Message

from states.view import RunView
from tuiapp.frame import Link, Playhead, Request


class Advanced(Message):
    """The source moved: a new view, another standing, or both."""

    def __init__(
        self, view: RunView, link: Link, *, heard: float, trouble: str = "", playhead: Playhead | None = None
    ) -> None:
        super().__init__()
        self.view = view
        self.link = link
        self.heard = heard
        self.trouble = trouble
        self.playhead = playhead

    def can_replace(self, message: Message) -> bool:
        """Only the newest view matters."""
        return isinstance(message, Advanced)


class Answered(Message):
    """A command moved on: accepted, applied, rejected, expired, or it could not be sent."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request
