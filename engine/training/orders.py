"""Commands as the training thread meets them: queued by the control server, obeyed at step boundaries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from engine.run.inbox import Inbox, Order
from states.commands import Abort


class Aborted(Exception):  # noqa: N818  (not an error: a person asked for it)
    """A person aborted the run."""

    def __init__(self, order: Order) -> None:
        super().__init__("aborted by the operator")
        self.order = order


class Orders:
    """The inbox as the loop reads it. An abort is noticed in every long wait, all else waits for the boundary."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self._waiting: deque[Order] = deque()

    def watch(self) -> None:
        """Look for an abort, from inside a long wait; raises `Aborted`."""
        while self.inbox.waiting and (order := self.inbox.take()) is not None:
            if isinstance(order.command, Abort):
                raise Aborted(order)
            self._waiting.append(order)

    def due(self) -> Iterator[Order]:
        """Everything that waits, in the order it came; raises `Aborted`."""
        self.watch()
        while self._waiting:
            yield self._waiting.popleft()
            self.watch()

    def while_finalizing(self) -> Iterator[Order]:
        """Everything that waits, aborts among it: nothing can be undone any more, only hurried."""
        while self._waiting:
            yield self._waiting.popleft()
        while (order := self.inbox.take()) is not None:
            yield order
