"""A disk that fails on purpose: every operation is counted, and one of them is cut, refused or killed."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

from engine.checkpoint.files import Files, Writer


class Cut(BaseException):
    """The process is gone from here on: nothing may catch this and clean up."""


class FaultyFiles(Files):
    """Strikes at operation number `at` (from 0; -1 never) in one of these ways.

    `before`, `half`, `after`: the process ends there; every later operation ends it again. `full`, `broken`: the
    operation raises ENOSPC or EIO, and later writes fail as well while removals work. `kill`: a real SIGKILL, half-way.
    An fsync is counted and not made: a process that ends loses nothing the kernel has, and hundreds take minutes.
    """

    def __init__(self, at: int = -1, mode: str = "before") -> None:
        self.at = at
        self.mode = mode
        self.count = 0
        self.done: list[str] = []

    def make_dir(self, path: Path) -> None:
        self._strike("make_dir", lambda: super(FaultyFiles, self).make_dir(path))

    def put(self, path: Path, data: bytes) -> None:
        self._strike(
            "put",
            lambda: super(FaultyFiles, self).put(path, data),
            half=lambda: super(FaultyFiles, self).put(path, data[: len(data) // 2]),
        )

    def produce(self, path: Path, writer: Writer) -> None:
        def half() -> None:
            super(FaultyFiles, self).produce(path, writer)
            os.truncate(path, path.stat().st_size // 2)

        self._strike("produce", lambda: super(FaultyFiles, self).produce(path, writer), half=half)

    def sync_file(self, path: Path) -> None:
        self._strike("sync_file", lambda: path.chmod(0o600))

    def sync_dir(self, path: Path) -> None:
        self._strike("sync_dir", lambda: None)

    def rename(self, old: Path, new: Path) -> None:
        self._strike("rename", lambda: super(FaultyFiles, self).rename(old, new))

    def unlink(self, path: Path) -> None:
        self._strike("unlink", lambda: super(FaultyFiles, self).unlink(path), removal=True)

    def remove_dir(self, path: Path) -> None:
        self._strike("remove_dir", lambda: super(FaultyFiles, self).remove_dir(path), removal=True)

    def _strike(
        self, name: str, work: Callable[[], None], *, half: Callable[[], None] | None = None, removal: bool = False
    ) -> None:
        number = self.count
        self.count += 1
        struck = 0 <= self.at <= number
        if not struck or (self.mode in ("full", "broken") and removal):
            work()
            self.done.append(name)
            return
        first = number == self.at
        if self.mode in ("full", "broken"):
            if half is not None:
                half()
            code = errno.ENOSPC if self.mode == "full" else errno.EIO
            if first or half is not None:
                raise OSError(code, os.strerror(code))
            work()
            return
        if first and self.mode in ("half", "kill") and half is not None:
            half()
        if first and self.mode == "after":
            work()
        if self.mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise Cut
