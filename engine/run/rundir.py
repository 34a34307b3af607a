"""A run is a directory: this file names everything in it, and tells whether an engine lives there.

Liveness is a held flock, never a guess from a pid. A forked child would inherit the lock and keep a dead engine
"alive", so the engine never forks: threads, or a fresh process that the close-on-exec lock does not follow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from configs.errors import UsageError

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
_LOCK_PATIENCE_S = 0.6
"""Somebody probing for liveness holds the lock for some microseconds; a start must not fail over that."""


class RunBusy(UsageError):  # noqa: N818  (a state of the run, not a mistake)
    """Another engine holds this run directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """engine.json: which process runs here and where it listens. Stale after a kill; the lock tells."""

    pid: int
    run_id: str
    attempt: int
    started_wall: float
    socket: str
    """Path of the control socket; empty until the control server listens."""
    version: str
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunDir:
    """The paths of one run, and its lock."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def events(self) -> Path:
        """The journal: the single truth of the run."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """The same story in lines for people."""
        return self.path / "training.log"

    @property
    def engine_out(self) -> Path:
        """What a spawned engine printed."""
        return self.path / "engine.out"

    @property
    def engine_json(self) -> Path:
        """Who runs here and where it listens."""
        return self.path / "engine.json"

    @property
    def lock(self) -> Path:
        """Held by the engine for its whole life."""
        return self.path / "engine.lock"

    @property
    def socket(self) -> Path:
        """Where the control socket belongs; engine.json names the real one."""
        return self.path / "control.sock"

    @property
    def resolved_config(self) -> Path:
        """The configuration that a resume uses."""
        return self.path / "config.resolved.json"

    @property
    def plan_report(self) -> Path:
        """The plan and its time estimate."""
        return self.path / "training_optimization_report.json"

    @property
    def tracker_json(self) -> Path:
        """Under which id this run is known to W&B."""
        return self.path / "tracker.json"

    def create(self) -> None:
        """Make the directory for its owner alone; from here on this process creates private files (umask 077)."""
        os.umask(0o077)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The run directory {self.path} cannot be made: {error.strerror}. Choose another --output-dir."
            ) from error
        # Network volumes may refuse chmod; the socket's peer check holds there all the same.
        with contextlib.suppress(OSError):
            self.path.chmod(0o700)

    def checkpoints(self) -> list[Path]:
        """The checkpoint folders, oldest step first; whether they are valid is for the checkpoint store to say."""
        try:
            names = [entry.name for entry in os.scandir(self.path) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        steps = sorted((int(match[1]), name) for name in names if (match := _CHECKPOINT.fullmatch(name)))
        return [self.path / name for _, name in steps]

    @contextlib.contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Own the run while the block lasts. Raises `RunBusy` when another engine owns it."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int) -> None:
        give_up = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                    raise UsageError(
                        f"{self.lock}: this file system has no locks ({error.strerror}), so two runs "
                        "could overwrite each other. Choose another --output-dir."
                    ) from error
                if time.monotonic() > give_up:
                    info = self.read_engine()
                    who = f" (pid {info.pid})" if info else ""
                    raise RunBusy(
                        f"{self.path}: an engine{who} is already training here. `python run.py attach {self.path}` "
                        "shows it; another --output-dir starts a second run."
                    ) from error
                time.sleep(0.02)
            else:
                return

    def is_live(self) -> bool:
        """Whether an engine holds the lock right now."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in {errno.EWOULDBLOCK, errno.EACCES}
        else:
            return False
        finally:
            os.close(descriptor)

    def read_engine(self) -> EngineInfo | None:
        """The last engine's card, or None where there is none that can be read."""
        try:
            card = orjson.loads(self.engine_json.read_bytes())
            return EngineInfo(
                pid=int(card["pid"]),
                run_id=str(card["run_id"]),
                attempt=int(card["attempt"]),
                started_wall=float(card["started_wall"]),
                socket=str(card["socket"]),
                version=str(card["version"]),
                argv=tuple(map(str, card.get("argv", ()))),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_engine(self, info: EngineInfo) -> None:
        """Leave the engine's card for those who look for it."""
        write_json(self.engine_json, dataclasses.asdict(info))


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON, atomically and durably: a reader sees the old file or the new."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some network file systems cannot sync a directory; the file itself is already durable.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
