"""Writes a data set file: all of it or none, never over another, readable by its owner alone."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from configs.errors import UsageError

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def refuse_taken(path: Path) -> None:
    """Raise `UsageError` where a file cannot be made, before any work is done for it."""
    if os.path.lexists(path):
        raise UsageError(f"{path} is already there. Move it away, or name another file with --output.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} for {path.name}. Make it, or name another with --output.")


def write_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write the pieces under a temporary name, then give it its own if that is still free; raises `UsageError`."""
    refuse_taken(path)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            _name(staged, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                staged.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}. Name another with --output.") from error


def _name(staged: Path, path: Path) -> None:
    """Link, since a rename would replace what another program made in the meantime."""
    try:
        path.hardlink_to(staged)
    except FileExistsError:
        refuse_taken(path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        refuse_taken(path)
        staged.rename(path)
