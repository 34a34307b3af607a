"""A peer of the control socket that speaks raw bytes, and what the journal says of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import orjson

from engine.run.journal import read
from engine.run.rundir import RunDir

DIALLED: list[socket.socket] = []


def dial(rundir: RunDir) -> socket.socket:
    engine = rundir.read_engine()
    assert engine is not None
    raw = socket.socket(socket.AF_UNIX)
    DIALLED.append(raw)
    raw.settimeout(5.0)
    raw.connect(engine.socket)
    return raw


def lines_of(raw: socket.socket) -> Callable[[], Any]:
    file = raw.makefile("rb")

    def line() -> Any:
        try:
            said = file.readline()
        except ConnectionResetError:
            said = b""  # hung up on while bytes of ours were still unread
        return orjson.loads(said) if said else None

    return line


def kinds(rundir: RunDir) -> list[str]:
    return [record.event.kind for record in read(rundir.events)]


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
