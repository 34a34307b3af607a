"""Talks to a running engine: shows it that somebody watches, sends it commands, asks how it is.

Every command has a connection of its own and an id, so several may wait at a time, and one whose connection broke is
simply sent again: the engine gives the same id the same answer.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from engine.run import protocol
from engine.run.listen import MAX_PATH_BYTES
from engine.run.rundir import RunDir
from states.codec import BadLine, decode_reply, encode_command
from states.commands import Command, Reply, Status

CONNECT_S = 5.0
"""An engine answers a connection from a thread of its own, within milliseconds unless its machine is overloaded."""
_RETRY_S = 0.2


class Unreachable(Exception):  # noqa: N818  (a state of the engine, not a mistake)
    """No engine listens there, or it went away; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """How an engine introduced itself."""

    protocol: int
    run_id: str
    attempt: int
    pid: int
    schema: int


class Client:
    """A connection to the engine of one run directory. Methods block; call them outside a screen's own loop."""

    def __init__(self, rundir: RunDir) -> None:
        self._rundir = rundir
        self._presence: _Link | None = None

    def connect(self, *, viewer: bool = False) -> Hello:
        """Reach the engine; as a `viewer` the connection stays open and shows up in the run. Raises `Unreachable`."""
        link = _Link(self._rundir)
        if not viewer:
            link.close()
            return link.hello
        self.close()
        self._presence = link
        link.send(protocol.attach())
        return link.hello

    def send(
        self,
        command: Command,
        timeout_s: float,
        *,
        on_accepted: Callable[[Reply], None] | None = None,
        id: str | None = None,
    ) -> Reply:
        """Ask for `command` and wait for its final reply.

        Returns the `accepted` reply when `timeout_s` passes without a final one: the command still stands, and sending
        it again with the same id goes on waiting. Raises `Unreachable` when the engine cannot be asked or goes away.
        """
        id = id or uuid.uuid4().hex
        end = time.monotonic() + timeout_s
        accepted: Reply | None = None
        while True:
            try:
                link = _Link(self._rundir)
                try:
                    link.send(encode_command(id, command))
                    for reply in link.replies(id, end):
                        if reply.state in protocol.FINAL_STATES:
                            return reply
                        if accepted is None and on_accepted is not None:
                            on_accepted(reply)
                        accepted = reply
                finally:
                    link.close()
            except TimeoutError:
                if accepted is None:
                    raise Unreachable("the engine does not answer on its control socket") from None
                return accepted
            except ConnectionError as error:
                if time.monotonic() >= end or not self._rundir.is_live():
                    raise Unreachable("the engine went away before it answered") from error
                time.sleep(_RETRY_S)

    def status(self, timeout_s: float = CONNECT_S) -> dict[str, Any]:
        """What the engine's control thread says, even while its loop hangs. Raises `Unreachable`."""
        return self.send(Status(), timeout_s).data or {}

    def close(self) -> None:
        """Let a viewer's connection go."""
        if self._presence is not None:
            self._presence.close()
            self._presence = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Link:
    """One connected, greeted socket."""

    def __init__(self, rundir: RunDir) -> None:
        self._socket = _dial(rundir)
        self._lines = protocol.LineBuffer()
        self._whole: list[bytes] = []
        try:
            self.hello = self._greeting()
        except (OSError, Unreachable) as error:
            self._socket.close()
            raise Unreachable(f"what listens at {rundir.path} does not answer as an engine does: {error}") from error

    def _greeting(self) -> Hello:
        if not protocol.peer_of(self._socket).trusted:
            raise Unreachable("it belongs to another user")
        try:
            said = orjson.loads(self._line(time.monotonic() + CONNECT_S))
            return Hello(
                protocol=said["hello"],
                run_id=said["run_id"],
                attempt=said["attempt"],
                pid=said["pid"],
                schema=said["schema"],
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, BadLine) as error:
            raise Unreachable("its greeting makes no sense") from error

    def send(self, line: bytes) -> None:
        self._socket.settimeout(CONNECT_S)
        self._socket.sendall(line)

    def replies(self, id: str, end: float) -> Iterator[Reply]:
        """Replies to `id` until one is final. Raises `TimeoutError` at `end`, `ConnectionError` when it breaks."""
        while True:
            try:
                reply = decode_reply(self._line(end))
            except BadLine as error:
                raise Unreachable(f"the engine's answer makes no sense: {error}") from error
            # A line the engine could not even read comes back without an id; only one was sent here.
            if reply.id in {id, ""}:
                yield reply

    def _line(self, end: float) -> bytes:
        while not self._whole:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            data = self._socket.recv(protocol.MAX_OUTBOX_BYTES)
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._whole = self._lines.feed(data)
        return self._whole.pop(0)

    def close(self) -> None:
        self._socket.close()


def _dial(rundir: RunDir) -> socket.socket:
    engine = rundir.read_engine()
    named = [Path(engine.socket)] if engine is not None and engine.socket else []
    for path in (*named, rundir.socket):
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            continue
        dialled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        dialled.settimeout(CONNECT_S)
        try:
            dialled.connect(os.fspath(path))
        except OSError:
            dialled.close()
        else:
            return dialled
    raise Unreachable(f"no engine listens at {rundir.path}")
