"""Which run a command means when it is told a directory, a journal, or nothing at all."""

from __future__ import annotations

import re
from pathlib import Path

from configs.errors import UsageError
from engine.run.rundir import RunDir


def find_run(run: Path | None) -> RunDir:
    """The run in `run` (a run directory or a file in it); without one, the run of the working directory.

    That is the working directory itself if it is a run, else the output directory of its configuration, else the
    newest run of the built-in demo. Raises `UsageError` where there is no journal.
    """
    if run is not None:
        found = RunDir(run if run.is_dir() else run.parent)
    elif RunDir(Path()).events.exists():
        found = RunDir(Path.cwd())
    else:
        found = _configured(Path.cwd())
    if not found.events.exists() and not found.is_live():
        raise UsageError(f"{found.path}: no run is here (it has no events.jsonl). Name the directory of a run.")
    return found


def _configured(here: Path) -> RunDir:
    # Configuration brings in pydantic; a command that names its run does without.
    from configs.load import demo_dir, find, load

    own = find(here)
    output = Path(load(own or demo_dir()).training.output_dir)
    return RunDir(output) if own is not None else newest_demo(output)


def newest_demo(first: Path) -> RunDir:
    """The newest of `first`, `first-2`, ...: the demo never overwrites a finished run, it counts its directories up."""
    numbered = re.compile(re.escape(first.name) + r"(-\d+)?")
    runs = [RunDir(path) for path in first.parent.glob(f"{first.name}*") if numbered.fullmatch(path.name)]
    started = [run for run in runs if run.events.exists()]
    return max(started, key=lambda run: (run.is_live(), run.events.stat().st_mtime), default=RunDir(first))
