"""What stands in for an engine in the cockpit's tests: a source that shows one view, a sender that takes notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.run.client import Unreachable
from states.commands import Command, Reply
from states.view import RunView
from tuiapp.frame import Link
from tuiapp.glyphs import UNICODE, Glyphs
from tuiapp.live import LiveCockpit
from tuiapp.messages import Advanced
from tuiapp.orders import Desk
from tuiapp.source import Post


class StillSource:
    """Posts one view and then whatever a test tells it to."""

    def __init__(self, view: RunView, link: Link, trouble: str = "") -> None:
        self.view, self.link, self.trouble = view, link, trouble
        self.post: Post = lambda _: None
        self.closed = False

    def start(self, post: Post) -> None:
        self.post = post
        self.tell(self.view, self.link)

    def tell(self, view: RunView, link: Link = Link.LIVE) -> None:
        self.post(Advanced(view, link, heard=view.wall, trouble=self.trouble))

    def close(self) -> None:
        self.closed = True


@dataclass
class NotingSender:
    """Answers every command with `reply_state`, or does not answer at all."""

    reply_state: str = "applied"
    detail: str = "step 1"
    unreachable: bool = False
    sent: list[Command] = field(default_factory=list)

    def send(
        self,
        command: Command,
        timeout_s: float,
        *,
        on_accepted: Callable[[Reply], None] | None = None,
        id: str | None = None,
    ) -> Reply:
        del timeout_s
        self.sent.append(command)
        if self.unreachable:
            raise Unreachable("no engine listens here")
        if on_accepted is not None:
            on_accepted(Reply(id=id or "", state="accepted"))
        return Reply(id=id or "", state=self.reply_state, detail=self.detail)


def cockpit(
    view: RunView,
    link: Link = Link.LIVE,
    *,
    sender: NotingSender | None = None,
    trouble: str = "",
    late_s: float = 2.0,
    glyphs: Glyphs = UNICODE,
) -> LiveCockpit:
    """A live cockpit that shows `view`, `late_s` seconds after its newest record."""
    now = view.wall + late_s
    return LiveCockpit(
        StillSource(view, link, trouble),
        Desk(sender or NotingSender(), clock=lambda: now),
        link=link,
        home="/runs/therapeutic_moe_model",
        glyphs=glyphs,
        clock=lambda: now,
    )
