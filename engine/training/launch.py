"""What a start means: a fresh run, a resume, or a refusal, decided before anything is spawned or any directory made."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from configs.errors import UsageError
from configs.identity import config_hash, from_resolved, resolved
from configs.schema import Config
from engine.run.rundir import RunDir
from engine.training.found import Found, look
from engine.training.window import Window, continuing, opening
from states.phases import Outcome

DEMO_OUTPUT = "stint-demo"
MAX_DEMO_RUNS = 1000
LAUNCH_FILE = "launch.json"
LEFTOVERS = frozenset({LAUNCH_FILE, "engine.out", "engine.lock", "engine.json"})
"""What a start that never reached its journal leaves behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything an engine process is told. It travels to a spawned engine as `launch.json`."""

    config: Config
    directory: Path
    window: Window
    resume: str | None = None
    """`auto`, or the path of a checkpoint; None starts from the beginning."""
    manual: bool = False
    said: tuple[str, ...] = ()
    """Sentences for the person: what was decided."""

    def to_json(self) -> bytes:
        """The form a spawned engine reads."""
        return orjson.dumps(
            {
                "config": resolved(self.config),
                "directory": str(self.directory),
                "window": self.window,
                "resume": self.resume,
                "manual": self.manual,
                "said": self.said,
            },
            option=orjson.OPT_INDENT_2,
        )

    @classmethod
    def read(cls, path: Path) -> Launch:
        """Inverse of `to_json`."""
        data: dict[str, Any] = orjson.loads(path.read_bytes())
        return cls(
            config=from_resolved(data["config"]),
            directory=Path(data["directory"]),
            window=Window(**data["window"]),
            resume=data["resume"],
            manual=data["manual"],
            said=tuple(data["said"]),
        )


class AlreadyFinished(Exception):  # noqa: N818  (no error: `--resume auto` on a finished run is a success)
    """There is nothing left to do."""


def decide(
    config: Config,
    directory: Path,
    *,
    demo: bool,
    resume: str | None,
    hours: float | None,
    deadline: str | None,
    manual: bool,
    said: tuple[str, ...] = (),
) -> Launch:
    """A start into `directory`, or a refusal as a `UserError`; `AlreadyFinished` where nothing is left to do."""
    now = time.time()
    found = look(directory)
    if found.live:
        raise UsageError(
            f"A run is going on in {directory} (process {found.pid}). `python run.py attach {directory}` shows it; "
            "another --output-dir starts a second one."
        )
    if resume is not None:
        return _resumed(directory, found, resume=resume, hours=hours, deadline=deadline, manual=manual, now=now)
    if found.exists and found.outcome is Outcome.FINISHED and demo:
        directory = _next_free(directory)
        said = (
            *said,
            f"The last demo run is finished, so this one goes to {directory}.",
        )
        found = look(directory)
    if found.exists:
        if found.outcome is Outcome.FINISHED:
            raise UsageError(
                f"{directory} holds a finished run. Give --output-dir for a new one; "
                f"`python run.py attach {directory}` shows the old one."
            )
        if found.config_hash != config_hash(config):
            raise UsageError(
                f"{directory} holds an unfinished run with a different configuration. `--resume auto` goes on with its "
                "own configuration; another --output-dir starts a new run."
            )
        launch = _resumed(directory, found, resume="auto", hours=hours, deadline=deadline, manual=manual, now=now)
        return Launch(
            config=config,
            directory=directory,
            window=launch.window,
            resume="auto",
            manual=manual,
            said=(*said, f"{directory} holds an unfinished run with this configuration: going on with it."),
        )
    _check_output(directory)
    window = opening(hours=hours, deadline=deadline, configured_hours=config.window_hours, now=now)
    return Launch(config=config, directory=directory, window=window, manual=manual, said=said)


def _resumed(
    directory: Path,
    found: Found,
    *,
    resume: str,
    hours: float | None,
    deadline: str | None,
    manual: bool,
    now: float,
) -> Launch:
    """Go on in `directory` with its own configuration and plan."""
    if not found.exists:
        raise UsageError(f"There is nothing to resume in {directory}: it holds no events.jsonl. Check --output-dir.")
    if found.outcome is Outcome.FINISHED:
        raise AlreadyFinished(f"The run in {directory} is finished: nothing to resume.")
    stored = RunDir(directory).resolved_config
    if not stored.is_file() or found.opened_wall is None:
        # It ended before its configuration was written: nothing was trained, so it starts over in the same journal.
        raise UsageError(f"The run in {directory} ended before its configuration was stored. Start it again elsewhere.")
    config = from_resolved(orjson.loads(stored.read_bytes()))
    before = Window(opened_wall=found.opened_wall, deadline_wall=found.deadline_wall)
    window = continuing(before, hours=hours, deadline=deadline, now=now)
    said = (f"Resuming the run in {directory}.",)
    return Launch(config=config, directory=directory, window=window, resume=resume, manual=manual, said=said)


def _next_free(directory: Path) -> Path:
    """`stint-demo-2`, `-3`, ...: the first that holds no finished run."""
    for number in range(2, MAX_DEMO_RUNS):
        candidate = directory.with_name(f"{directory.name}-{number}")
        found = look(candidate)
        if not found.live and found.outcome is not Outcome.FINISHED:
            return candidate
    raise UsageError(f"There are {MAX_DEMO_RUNS} finished demo runs here: remove some, or give --output-dir.")


def _check_output(directory: Path) -> None:
    """Refuse an output directory that cannot be written or belongs to something else, without making it."""
    if directory.exists():
        if not directory.is_dir():
            raise UsageError(
                f"--output-dir {directory} is a file. Name a directory that is empty or does not exist yet."
            )
        strangers = sorted(path.name for path in directory.iterdir() if path.name not in LEFTOVERS)
        if strangers:
            raise UsageError(
                f"--output-dir {directory} holds other files ({', '.join(strangers[:3])}, ...) and no run. "
                "Name a directory that is empty or does not exist yet."
            )
    nearest = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK) or _read_only(nearest):
        raise UsageError(
            f"--output-dir {directory} cannot be written: {nearest} is read-only for you. Name another place."
        )


def _read_only(path: Path) -> bool:
    """Whether the file system itself is read-only, which `os.access` does not tell root."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
