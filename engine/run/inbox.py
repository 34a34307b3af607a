"""Orders on their way to the training loop, and the answers on their way back.

The control thread puts, the loop takes and answers; every order and every answer is also an event, so that a replay
shows who asked for what. Asking again with the same id asks for the same answer, so a client may safely repeat itself.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from engine.run.bus import Bus
from engine.run.protocol import FINAL_STATES
from engine.run.shield import SHIELD
from engine.run.signals import Flags
from states.commands import Abort, Command, Finish, Reply
from states.events import CommandApplied, CommandReceived, CommandRejected, Event
from states.phases import Reason
from states.text import one_line

Answer = Callable[[Reply], None]
"""Told every reply to one order; must not block."""

MAX_WAITING = 64
"""Orders in the queue; the loop takes all of them at each step boundary."""
MAX_REMEMBERED = 1024
"""Ids whose answers are kept for a repeated question."""
MAX_LISTENERS = 16
"""Askers of one id who are told its end."""
_GLANCE_S = 0.05
"""How soon a signal's order ends a wait: a handler may not touch the condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One command for the loop; `via` is `socket` or `signal`, `by` the peer's pid."""

    id: str
    command: Command
    via: str
    by: int | None = None


@dataclass(slots=True)
class _Case:
    """What is known of one id."""

    reply: Reply
    listeners: list[Answer] = field(default_factory=list)


class Inbox:
    """A thread-safe queue of orders that remembers its answers."""

    def __init__(self, bus: Bus, flags: Flags) -> None:
        self._bus = bus
        self._flags = flags
        self._arrived = threading.Condition(threading.RLock())
        self._queue: deque[Order] = deque()
        self._open: dict[str, Order] = {}
        self._cases: OrderedDict[str, _Case] = OrderedDict()
        self._closed = False

    @property
    def waiting(self) -> bool:
        """Whether `take` would give an order; costs next to nothing."""
        return bool(self._queue) or not self._flags.orders.empty()

    def note(self, event: Event) -> None:
        """Emit `event` unless the run is over: after `run.stopped` nothing more is recorded."""
        with SHIELD, self._arrived:
            if not self._closed:
                self._bus.emit(event)

    def put(self, order: Order, answer: Answer = lambda _: None) -> None:
        """Accept an order, or answer a repeated id with what is known about it."""
        with SHIELD, self._arrived:
            known = self._cases.get(order.id)
            if known is not None:
                answer(known.reply)
                if known.reply.state not in FINAL_STATES and len(known.listeners) < MAX_LISTENERS:
                    known.listeners.append(answer)
            elif self._closed:
                answer(Reply(id=order.id, state="expired", detail="the run has ended"))
            elif len(self._queue) >= MAX_WAITING:
                answer(Reply(id=order.id, state="rejected", detail=f"{MAX_WAITING} commands are waiting already"))
            else:
                self._accept(order, answer)

    def _accept(self, order: Order, answer: Answer) -> None:
        self._bus.emit(
            CommandReceived(
                id=order.id, command=order.command.name, args=asdict(order.command), via=order.via, by=order.by
            )
        )
        accepted = Reply(id=order.id, state="accepted")
        self._cases[order.id] = _Case(accepted, [answer])
        self._forget_old_cases()
        self._open[order.id] = order
        self._queue.append(order)
        answer(accepted)
        self._arrived.notify_all()
        if isinstance(order.command, Abort | Finish):
            # In Setup and Init nobody takes orders; from Warmup on this does nothing.
            self._flags.cancel(Reason.OPERATOR)

    def take(self) -> Order | None:
        """The oldest order, or None. Signals' orders are accepted here, because a handler cannot emit."""
        with SHIELD, self._arrived:
            while not self._flags.orders.empty():
                command = self._flags.orders.get_nowait()
                self.put(Order(id=f"signal-{uuid.uuid4().hex[:12]}", command=command, via="signal"))
            return self._queue.popleft() if self._queue else None

    def wait(self, timeout_s: float) -> bool:
        """Sleep until there is an order, a signal wants attention, or the time is over; whether an order waits."""
        end = time.monotonic() + timeout_s
        while not self.waiting and not self._flags.stop and (left := end - time.monotonic()) > 0:
            with self._arrived:
                self._arrived.wait(min(left, _GLANCE_S))
        return self.waiting

    def applied(self, order: Order, step: int, detail: str = "") -> None:
        """The loop obeyed: record it and tell whoever asked."""
        with SHIELD, self._arrived:
            self._bus.emit(CommandApplied(id=order.id, command=order.command.name, step=step, detail=detail))
            self._settle(order, Reply(id=order.id, state="applied", detail=detail, data={"step": step}))

    def rejected(self, order: Order, reason: str) -> None:
        """The loop refuses: record why and tell whoever asked."""
        self._refuse(order, "rejected", one_line(reason))

    def expire_all(self, step: int = 0) -> None:
        """The run is over: settle what is open and accept nothing more. Call it before `run.stopped` is emitted.

        An abort or a finish that is still open counts as applied: what it asked for has come about.
        """
        with SHIELD, self._arrived:
            self._closed = True
            self._queue.clear()
            for order in list(self._open.values()):
                if isinstance(order.command, Abort | Finish):
                    self.applied(order, step, "the run has stopped")
                else:
                    self._refuse(order, "expired", "expired")

    def _refuse(self, order: Order, state: str, reason: str) -> None:
        with SHIELD, self._arrived:
            self._bus.emit(CommandRejected(id=order.id, command=order.command.name, reason=reason))
            detail = "the run has ended" if state == "expired" else reason
            self._settle(order, Reply(id=order.id, state=state, detail=detail))

    def _settle(self, order: Order, reply: Reply) -> None:
        self._open.pop(order.id, None)
        case = self._cases.get(order.id)
        if case is not None:
            case.reply = reply
            listeners, case.listeners = case.listeners, []
            for answer in listeners:
                answer(reply)

    def _forget_old_cases(self) -> None:
        settled = [id for id, case in self._cases.items() if case.reply.state in FINAL_STATES]
        for id in settled[: max(0, len(self._cases) - MAX_REMEMBERED)]:
            del self._cases[id]
