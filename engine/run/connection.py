"""One client of the control socket, as the server sees it: its bytes in both directions and its bounds."""

from __future__ import annotations

import socket
import time

from engine.run import protocol
from engine.run.protocol import LineBuffer, Peer
from states.codec import BadLine, encode_reply
from states.commands import Reply

_READ_BYTES = 64 * 1024


class Hangup(Exception):  # noqa: N818  (an ending, often a friendly one)
    """The connection is to be closed."""


class Connection:
    """A non-blocking connection; every method returns at once or raises `Hangup` or `OSError`."""

    def __init__(self, client: socket.socket, peer: Peer) -> None:
        client.setblocking(False)
        self.socket = client
        self.peer = peer
        self.viewer: int | None = None
        """Pid of the viewer that this connection stands for, once attached."""
        self.awaited = 0
        """Orders without a final answer."""
        self._incoming = LineBuffer()
        self._outgoing = bytearray()
        self._heard = time.monotonic()
        self._begun: float | None = self._heard
        """When the line that is not whole yet began; a new connection owes its first one."""
        self._bad_lines = 0
        self._second = 0
        self._lines_this_second = 0

    @property
    def has_output(self) -> bool:
        """Whether bytes wait for the peer to read."""
        return bool(self._outgoing)

    def receive(self) -> list[bytes]:
        """The whole lines that have arrived."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise Hangup
        try:
            lines = self._incoming.feed(data)
        except BadLine as error:
            self.reply(Reply(id="", state="rejected", detail=str(error)))
            raise Hangup from error
        now = time.monotonic()
        if lines:
            self._heard, self._begun = now, None
            self._count(len(lines))
        if self._incoming.partial and self._begun is None:
            self._begun = now
        return lines

    def _count(self, lines: int) -> None:
        second = int(self._heard)
        if second != self._second:
            self._second, self._lines_this_second = second, 0
        self._lines_this_second += lines
        if self._lines_this_second > protocol.MAX_LINES_PER_S:
            raise Hangup

    def count_bad_line(self) -> None:
        """One more line that was no command."""
        self._bad_lines += 1
        if self._bad_lines >= protocol.MAX_BAD_LINES:
            raise Hangup

    def reply(self, reply: Reply) -> None:
        """Send one reply; one that is too long says so instead."""
        try:
            line = encode_reply(reply)
        except ValueError as error:
            line = encode_reply(Reply(id=reply.id, state="rejected", detail=str(error)))
        self.send(line)

    def send(self, line: bytes) -> None:
        """Queue a line and write what the peer will take now."""
        self._outgoing += line
        if len(self._outgoing) > protocol.MAX_OUTBOX_BYTES:
            raise Hangup
        self.flush()

    def flush(self) -> None:
        """Write what the peer will take now."""
        while self._outgoing:
            try:
                sent = self.socket.send(self._outgoing)
            except BlockingIOError:
                return
            del self._outgoing[:sent]

    def too_silent(self, now: float) -> bool:
        """Whether the peer has let its time to say something pass; viewers and those who wait may be silent."""
        if self._begun is not None:
            return now - self._begun > protocol.HANDSHAKE_S
        return self.viewer is None and self.awaited == 0 and now - self._heard > protocol.IDLE_S
