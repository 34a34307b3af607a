"""training.log: the console's lines with their times, kept with the run."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

from engine.watch.story import Story
from states.events import Record

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class LogFile:
    """A subscriber that appends to a file. Local time, as `tail -f` is read by whoever sits there."""

    def __init__(self, path: Path, *, every: int = 10) -> None:
        self._story = Story(every)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def __call__(self, record: Record) -> None:
        """Append the lines of one record; a full disk loses lines, anything else that fails raises `OSError`."""
        lines = self._story.tell(record)
        if not lines:
            return
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.wall))
        text = "".join(f"{stamp}  {line}\n" for line in lines).encode()
        try:
            os.write(self._descriptor, text)
        except OSError as error:
            if error.errno not in _FULL:
                raise

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
