"""The journal file: opened by its one writer, who recovers what a crash left, or read as it stands by anyone."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from configs.errors import UserError
from engine.run.follower import Follower
from engine.run.scan import lines, scan
from states.codec import BadLine, decode
from states.events import Record

__all__ = ["Follower", "Journal", "JournalError", "read"]

BALLAST_BYTES = 16 << 20
"""Disk space kept aside so that a full disk does not end a run: some hours of events."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class JournalError(UserError):
    """The journal cannot be written. Fatal by design: a run that leaves no trace must not go on."""


def read(path: Path) -> Iterator[Record]:
    """Every record of a journal, oldest first. Raises `OSError` where there is no such file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _, record in scan(descriptor):
            yield record
    finally:
        os.close(descriptor)


class Journal:
    """The one writer of a journal: opened while holding the run's lock, called by one thread at a time."""

    def __init__(self, descriptor: int, ballast: Path, next_seq: int, recovered: str | None) -> None:
        """Use `Journal.open`."""
        self._descriptor = descriptor
        self._ballast = ballast
        self.next_seq = next_seq
        """The number of the next record, over all attempts."""
        self.recovered = recovered
        """One sentence on what the last writer left behind and what became of it, or None."""
        self.disk_full = False
        """The disk filled up, and the ballast is being used."""

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open for appending, cutting off whatever stands after the valid prefix. Raises `JournalError`."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"{path}: the journal cannot be opened ({error.strerror})") from error
        try:
            next_seq, recovered = _recover(path, descriptor)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{path}: the journal cannot be recovered ({error.strerror})") from error
        ballast = path.with_name(f".{path.name}.ballast")
        _fill(ballast)
        return cls(descriptor, ballast, next_seq, recovered)

    def append(self, line: bytes) -> None:
        """Write one whole line. Raises `JournalError`, with no part of the line left behind, when it cannot."""
        try:
            try:
                self._write(line)
            except OSError as error:
                if error.errno not in _FULL or not self._ballast.exists():
                    raise
                self._ballast.unlink()
                self.disk_full = True
                self._write(line)
        except OSError as error:
            raise JournalError(f"the journal cannot be written ({error.strerror})") from error
        self.next_seq += 1

    def _write(self, line: bytes) -> None:
        before = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            # One write carries a line in practice; the loop is for the short write of a disk that is nearly full.
            view = memoryview(line)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, before)
            raise

    def sync(self) -> None:
        """Make everything appended so far survive a power cut. Raises `JournalError`."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise JournalError(f"the journal cannot be made durable ({error.strerror})") from error

    def close(self) -> None:
        """Close the file; the ballast goes."""
        os.close(self._descriptor)
        self._ballast.unlink(missing_ok=True)


def _recover(path: Path, descriptor: int) -> tuple[int, str | None]:
    """The next record's number, and what was cut off if anything was."""
    good, next_seq = 0, 0
    for end, record in scan(descriptor):
        good, next_seq = end, record.seq + 1
    lost = os.fstat(descriptor).st_size - good
    if not lost:
        return next_seq, None
    kept = ""
    if any(_checks(line) for _, line in lines(descriptor, good)):
        original = _free_name(path)
        shutil.copyfile(path, original)
        kept = f"; whole records stood after the damage, so the original is kept as {original.name}"
    os.ftruncate(descriptor, good)
    os.fsync(descriptor)
    return next_seq, f"{path.name}: cut off {lost} bytes that were no valid record, before record {next_seq}{kept}"


def _checks(line: bytes) -> bool:
    try:
        decode(line)
    except BadLine:
        return False
    return True


def _free_name(path: Path) -> Path:
    number = 1
    while (candidate := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    return candidate


def _fill(ballast: Path) -> None:
    # Where space cannot be reserved (a quota, a disk already full) the run goes on without.
    with contextlib.suppress(OSError):
        descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
        finally:
            os.close(descriptor)
