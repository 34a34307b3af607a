"""A recorded run told again in lines, as its console told it: the replay for a pipe or a terminal without a screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from configs.errors import UsageError
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.watch.story import Story
from states.events import RunConfigured

USUAL_EVERY: Final = 10
"""Steps between two progress lines where the journal has no configuration."""


def find_journal(named: Path) -> Path:
    """The journal a person means by a file or a run directory. Raises `UsageError` where there is none."""
    path = RunDir(named).events if named.is_dir() else named
    if not path.is_file():
        raise UsageError(f"There is no journal at {path}: give the events.jsonl of a run, or its run directory.")
    if next(read(path), None) is None:
        raise UsageError(f"{path} is not the journal of a run: it does not begin with a record. Give an events.jsonl.")
    return path


def retell(journal: Path, say: Callable[[str], None], *, speed: float | None = None, at: float | None = None) -> None:
    """Give the run's lines to `say`, from `at` seconds into it, at `speed` times its own pace or else at once."""
    story = Story(_every(journal))
    shown: float | None = None
    for record in read(journal):
        shown = record.wall + (at or 0.0) if shown is None else shown
        lines = story.tell(record)
        if record.wall < shown:
            continue
        if lines and speed is not None:
            time.sleep((record.wall - shown) / speed)
            shown = record.wall
        for line in lines:
            say(line)


def _every(journal: Path) -> int:
    for record in read(journal):
        if isinstance(record.event, RunConfigured):
            return int(record.event.config.get("training", {}).get("logging_steps", USUAL_EVERY))
    return USUAL_EVERY
