"""Where the control socket is bound: in the run directory when it can be, else in a private temporary folder.

Not under XDG_RUNTIME_DIR, which disappears at the last logout: a detached run is exactly that case.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engine.run.rundir import RunDir

MAX_PATH_BYTES = 107
"""sockaddr_un holds 108 bytes with the final NUL (unix(7))."""
_PREFIX = "stint-"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket and the path it is bound to."""

    socket: socket.socket
    path: Path

    def close(self) -> None:
        """Stop listening and leave nothing behind."""
        self.socket.close()
        remove(self.path)


def listen(rundir: RunDir) -> Listener | None:
    """Bind the control socket, or None where no place takes one. The run's lock must be held: a stale one is unlinked.

    The socket has mode 0600 and its folder 0700.
    """
    previous = rundir.read_engine()
    if previous is not None and previous.socket:
        remove(Path(previous.socket))
    wanted = rundir.socket.absolute()
    if (bound := _bind(wanted)) is not None:
        return Listener(bound, wanted)
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108  (mkdtemp makes a private folder)
        with contextlib.suppress(OSError):
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)) / "control.sock"
            if (bound := _bind(path)) is not None:
                return Listener(bound, path)
            path.parent.rmdir()
    return None


def _bind(path: Path) -> socket.socket | None:
    # Too long a path, a folder that is read-only, a file system without sockets: all the same here.
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        return None
    remove(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        bound.bind(os.fspath(path))
        path.chmod(0o600)
        bound.listen()
    except OSError:
        bound.close()
        return None
    bound.setblocking(False)
    return bound


def remove(path: Path) -> None:
    """Unlink a socket, and the temporary folder made for it; anything that is not a socket stays."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        if path.parent.name.startswith(_PREFIX) and path.name == "control.sock":
            path.parent.rmdir()
