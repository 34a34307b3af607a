"""The one door to the disk: every write, fsync, rename and removal of a checkpoint goes through `Files`.

Tests replace it to cut the power, fill the disk or fail one operation at a time; nothing else in this package
calls the operating system to change a file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Writer = Callable[[Path], None]
"""Writes one file at the path it is given."""

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not through a symbolic link, and without waiting for ever on a named pipe somebody left there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a file holds: its size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


class Files:
    """The disk. The methods up to `digest` are single operations: one fault may strike before, in or after each."""

    def make_dir(self, path: Path) -> None:
        """Create a directory that only its owner may enter; it must not exist."""
        path.mkdir(mode=0o700)

    def put(self, path: Path, data: bytes) -> None:
        """Write `data` to a file that does not exist yet. Not durable before `sync_file`."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)

    def produce(self, path: Path, writer: Writer) -> None:
        """Let `writer` create the file. Not durable before `sync_file`."""
        writer(path)

    def sync_file(self, path: Path) -> None:
        """Make a file's content durable and private. A failed fsync is never repeated: the kernel forgets the loss."""
        descriptor = os.open(path, READ_FLAGS)
        try:
            os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_dir(self, path: Path) -> None:
        """Make the names in a directory durable: creations, renames and removals since the last time."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems keep names durable by themselves and refuse to be asked.
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
                raise
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or directory another name in the same file system; a file at `new` is replaced at once."""
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def remove_dir(self, path: Path) -> None:
        """Remove an empty directory."""
        path.rmdir()

    def digest(self, path: Path) -> Digest:
        """Read a regular file whole and return its size and hash."""
        with os.fdopen(os.open(path, READ_FLAGS), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{path.name} is not a regular file")
            return Digest(bytes=status.st_size, sha256=hashlib.file_digest(stream, "sha256").hexdigest())

    def write(self, path: Path, data: bytes) -> None:
        """Write `data` to a file that does not exist yet, durably; its name is durable after `sync_dir`."""
        self.put(path, data)
        self.sync_file(path)

    def remove_tree(self, path: Path) -> None:
        """Remove a file, a symbolic link (not what it points at), or a directory and all it holds."""
        if path.is_symlink() or not path.is_dir():
            self.unlink(path)
            return
        for entry in sorted(path.iterdir()):
            self.remove_tree(entry)
        self.remove_dir(path)


DISK = Files()
