"""Commands on their way to the engine: one thread each, so that a slow answer never holds up the screen."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from engine.run.client import Client, Unreachable
from engine.run.rundir import RunDir
from states.commands import Command, Reply
from tuiapp.frame import Request
from tuiapp.messages import Answered

PATIENCE_S = 20.0
"""One wait for an answer; a command that still stands is asked for again with the same id."""
Post = Callable[[Answered], object]


class Sender(Protocol):
    """What a desk needs of `engine.run.client.Client`."""

    def send(
        self,
        command: Command,
        timeout_s: float,
        *,
        on_accepted: Callable[[Reply], None] | None = None,
        id: str | None = None,
    ) -> Reply:
        """Ask and wait."""


class Desk:
    """Sends commands and posts what becomes of them."""

    def __init__(self, sender: Sender, *, clock: Callable[[], float] = time.time) -> None:
        self._sender = sender
        self._clock = clock
        self._numbers = itertools.count(1)
        self._closing = threading.Event()

    def send(self, command: Command, label: str, post: Post) -> Request:
        """Send `command` in a thread of its own; returns it as `requested`."""
        request = Request(
            number=next(self._numbers),
            command=command.name,
            label=label,
            state="requested",
            wall=self._clock(),
            id=uuid.uuid4().hex,
        )
        threading.Thread(
            target=self._deliver, args=(command, request, post), name=f"order-{request.number}", daemon=True
        ).start()
        return request

    def _deliver(self, command: Command, request: Request, post: Post) -> None:
        def accepted(reply: Reply) -> None:
            nonlocal request
            request = replace(request, state="accepted", accepted=True, detail=reply.detail)
            post(Answered(request))

        while not self._closing.is_set():
            try:
                reply = self._sender.send(command, PATIENCE_S, on_accepted=accepted, id=request.id)
            except (Unreachable, OSError) as error:
                post(Answered(replace(request, state="failed", wall=self._clock(), detail=str(error))))
                return
            if reply.state != "accepted":
                post(Answered(replace(request, state=reply.state, wall=self._clock(), detail=reply.detail)))
                return

    def close(self) -> None:
        """Ask no more; commands already accepted stand."""
        self._closing.set()


class Presence:
    """Shows the engine that somebody watches, for as long as the cockpit is open."""

    def __init__(self, rundir: RunDir) -> None:
        self._client = Client(rundir)
        self._busy = threading.Lock()

    def attend(self) -> None:
        """Connect as a viewer, in the background; an engine that does not answer is not told."""
        threading.Thread(target=self._connect, name="presence", daemon=True).start()

    def _connect(self) -> None:
        if self._busy.acquire(blocking=False):
            try:
                with contextlib.suppress(Unreachable, OSError):
                    self._client.connect(viewer=True)
            finally:
                self._busy.release()

    def close(self) -> None:
        """Let the connection go."""
        if self._busy.acquire(timeout=1.0):
            self._client.close()
            self._busy.release()
