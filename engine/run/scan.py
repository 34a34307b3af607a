"""What counts as a journal: the longest prefix of whole, checking, consecutively numbered lines.

Everyone who opens one, the writer after a crash as well as every reader, goes through here and so agrees on that
prefix: a torn or damaged line is never half believed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from states.codec import BadLine, decode
from states.events import Record

CHUNK_BYTES = 1 << 20
"""Read at once: some thousand records."""


def lines(descriptor: int, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(offset of its end, line with its newline) of each whole line from `offset` on; an unterminated tail is none."""
    rest = b""
    while chunk := os.pread(descriptor, CHUNK_BYTES, offset + len(rest)):
        buffer, start = rest + chunk, 0
        while newline := buffer.find(b"\n", start) + 1:
            yield offset + newline, buffer[start:newline]
            start = newline
        offset, rest = offset + start, buffer[start:]


def scan(descriptor: int, offset: int = 0, expected: int | None = None) -> Iterator[tuple[int, Record]]:
    """(offset of its end, record) of each record from `offset` on, as long as lines check and numbers follow.

    `expected` is the number the first one must have; None takes the first line's own.
    """
    for end, line in lines(descriptor, offset):
        try:
            record = decode(line)
        except BadLine:
            return
        if expected is not None and record.seq != expected:
            return
        expected = record.seq + 1
        yield end, record
