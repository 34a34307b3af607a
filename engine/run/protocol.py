"""The words on the control socket, shared by the engine's server and its clients: JSON lines, the server speaks first.

- server: `{"hello": 1, "run_id": ..., "attempt": n, "pid": n, "schema": n}`
- client: `{"id": ..., "command": ..., "args": {...}}`, or `{"attach": true, "pid": n}` for a viewer's presence
- server: `{"id": ..., "state": "accepted"}`, later the same id with `applied`, `rejected` or `expired`
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

import orjson

from engine.run.rundir import EngineInfo
from states.codec import MAX_MESSAGE_BYTES, BadLine
from states.events import SCHEMA

HELLO = 1
"""Version of this protocol."""
MAX_CLIENTS = 16
"""Connections at a time: some viewers, and room for commands."""
HANDSHAKE_S = 10.0
"""A connection says something whole within this time or is closed; a line once begun is finished within it."""
IDLE_S = 300.0
"""A connection that neither shows a viewer nor waits for an answer is closed after this much silence."""
MAX_LINES_PER_S = 100
"""More than any person or script needs; beyond it the peer is noise."""
MAX_BAD_LINES = 8
"""A peer that speaks something else is not listened to for long."""
MAX_OUTBOX_BYTES = 256 * 1024
"""Answers kept for a peer that does not read them."""
FINAL_STATES = frozenset({"applied", "rejected", "expired"})
"""States of a reply after which nothing more comes."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel knows it; pid 0 is a process in another namespace."""

    pid: int
    uid: int

    @property
    def trusted(self) -> bool:
        """Whether it may speak: the same user, or root."""
        return self.uid in {os.geteuid(), 0}


def peer_of(connection: socket.socket) -> Peer:
    """The credentials of a connected Unix socket's other end."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", raw)
    return Peer(pid, uid)


class LineBuffer:
    """Cuts a byte stream into lines and refuses one that is longer than a message may be."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._bytes)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, with their newlines. Raises `BadLine` on an oversize one."""
        self._bytes += data
        *whole, rest = self._bytes.split(b"\n")
        self._bytes = bytearray(rest)
        if any(len(line) >= MAX_MESSAGE_BYTES for line in (*whole, rest)):
            raise BadLine(f"a line may have {MAX_MESSAGE_BYTES} bytes")
        return [bytes(line) + b"\n" for line in whole]


def hello(engine: EngineInfo) -> bytes:
    """The server's first line."""
    greeting = {
        "hello": HELLO,
        "run_id": engine.run_id,
        "attempt": engine.attempt,
        "pid": engine.pid,
        "schema": SCHEMA,
    }
    return orjson.dumps(greeting, option=orjson.OPT_APPEND_NEWLINE)


def attach() -> bytes:
    """A viewer's line: the connection stands for somebody who watches."""
    return orjson.dumps({"attach": True, "pid": os.getpid()}, option=orjson.OPT_APPEND_NEWLINE)


def attaching(line: bytes) -> int | None:
    """The pid that a viewer gives when `line` attaches it, or None for any other line."""
    try:
        said: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict) or said.get("attach") is not True:
        return None
    pid = said.get("pid")
    return pid if isinstance(pid, int) and 0 < pid < 1 << 31 else 0
