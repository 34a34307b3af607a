"""The engine's ear: one thread that serves the control socket and can neither block nor be blocked by the loop.

All connections live in this thread. The loop answers through a queue, so a client that is slow, silent or talks
nonsense costs the loop nothing; one that exceeds a bound is closed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from engine.run import protocol
from engine.run.connection import Connection, Hangup
from engine.run.inbox import Inbox, Order
from engine.run.journal import JournalError
from engine.run.listen import Listener, listen
from engine.run.rundir import EngineInfo, RunDir
from states.codec import BadLine, decode_command
from states.commands import Reply, Status
from states.events import ClientAttached, ClientDetached

log = logging.getLogger("stint.control")

_TICK_S = 1.0
"""How often silence is noticed."""
_GOODBYE_S = 1.0
"""How long the last answers may take to leave when the engine stops."""


class ControlServer:
    """Serves `control.sock` while its block lasts, and names it in engine.json.

    Enter it while holding the run's lock. `status` is called in the server's thread and must return plain JSON values.
    """

    def __init__(self, rundir: RunDir, engine: EngineInfo, inbox: Inbox, status: Callable[[], dict[str, Any]]) -> None:
        self._rundir = rundir
        self._engine = engine
        self._inbox = inbox
        self._status = status
        self._listener: Listener | None = None
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._answers: SimpleQueue[tuple[Connection, Reply]] = SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def __enter__(self) -> Self:
        self._listener = listen(self._rundir)
        path = "" if self._listener is None else str(self._listener.path)
        self._rundir.write_engine(dataclasses.replace(self._engine, socket=path))
        if self._listener is None:
            log.warning("no control socket can be made here: only signals reach this run")
        else:
            self._selector.register(self._listener.socket, selectors.EVENT_READ)
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        self._rouse()
        self._thread.join()
        self._selector.close()
        self._wake.close()
        self._woken.close()
        if self._listener is not None:
            self._listener.close()

    def _rouse(self) -> None:
        # A full pipe means that the thread is about to wake anyway.
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")

    def _serve(self) -> None:
        while not self._stopping:
            for key, mask in self._selector.select(_TICK_S):
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                elif isinstance(key.data, Connection):
                    self._guard(key.data, partial(self._attend, key.data, mask))
                else:
                    self._greet()
            self._hand_out_answers()
            self._close_silent_ones()
        self._say_goodbye()

    def _greet(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.socket.accept()
        except OSError:
            return
        peer = protocol.peer_of(client)
        if not peer.trusted or len(self._connections) >= protocol.MAX_CLIENTS:
            client.close()
            return
        connection = Connection(client, peer)
        self._connections.add(connection)
        self._selector.register(client, selectors.EVENT_READ, connection)
        self._guard(connection, partial(connection.send, protocol.hello(self._engine)))

    def _attend(self, connection: Connection, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            connection.flush()
        if mask & selectors.EVENT_READ:
            for line in connection.receive():
                self._obey(connection, line)

    def _guard(self, connection: Connection, action: Callable[[], None]) -> None:
        try:
            action()
        except (Hangup, OSError):
            self._drop(connection)
        except Exception:
            # Whatever a peer provokes ends its connection, never this thread.
            log.exception("a control connection failed")
            self._drop(connection)
        else:
            wants = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.has_output else 0)
            if self._selector.get_key(connection.socket).events != wants:
                self._selector.modify(connection.socket, wants, connection)

    def _obey(self, connection: Connection, line: bytes) -> None:
        pid = protocol.attaching(line)
        if pid is not None:
            self._attach(connection, pid)
            return
        try:
            id, command = decode_command(line)
        except BadLine as error:
            connection.reply(Reply(id="", state="rejected", detail=str(error)))
            connection.count_bad_line()
            return
        if isinstance(command, Status):
            connection.reply(Reply(id=id, state="applied", data=self._status()))
            return
        order = Order(id=id, command=command, via="socket", by=connection.peer.pid or None)
        connection.awaited += 1
        self._inbox.put(order, lambda reply: self._answer(connection, reply))

    def _attach(self, connection: Connection, pid: int) -> None:
        if connection.viewer is None:
            connection.viewer = connection.peer.pid or pid
            self._inbox.note(ClientAttached(pid=connection.viewer, uid=connection.peer.uid))

    def _answer(self, connection: Connection, reply: Reply) -> None:
        self._answers.put((connection, reply))
        self._rouse()

    def _hand_out_answers(self) -> None:
        while not self._answers.empty():
            connection, reply = self._answers.get_nowait()
            if connection not in self._connections:
                continue
            if reply.state in protocol.FINAL_STATES:
                connection.awaited -= 1
            self._guard(connection, partial(connection.reply, reply))

    def _close_silent_ones(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self._connections if c.too_silent(now)]:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()
        if connection.viewer is not None:
            # A broken journal ends the run through the loop's next event; this thread has nobody to tell.
            with contextlib.suppress(JournalError):
                self._inbox.note(ClientDetached(pid=connection.viewer, uid=connection.peer.uid))

    def _say_goodbye(self) -> None:
        self._hand_out_answers()
        for connection in list(self._connections):
            with contextlib.suppress(OSError, Hangup):
                connection.socket.settimeout(_GOODBYE_S)
                connection.flush()
            self._selector.unregister(connection.socket)
            connection.socket.close()
        self._connections.clear()
