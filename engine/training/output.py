"""The output directory before it is one: whether a run may be made there, asked without making anything."""

from __future__ import annotations

import os
from pathlib import Path

from configs.errors import UsageError
from engine.training.found import look
from engine.training.launch import LAUNCH_FILE
from states.phases import Outcome

DEMO_OUTPUT = "stint-demo"
MAX_DEMO_RUNS = 1000
LEFTOVERS = ("engine.out", "engine.lock", "engine.json", LAUNCH_FILE)
"""How names begin that a start leaves behind when it never reached its journal."""


def next_demo(directory: Path) -> Path:
    """`stint-demo-2`, `-3`, ...: the first that holds no finished run."""
    for number in range(2, MAX_DEMO_RUNS):
        candidate = directory.with_name(f"{directory.name}-{number}")
        found = look(candidate)
        if not found.live and found.outcome is not Outcome.FINISHED:
            return candidate
    raise UsageError(f"There are {MAX_DEMO_RUNS} finished demo runs here: remove some, or give --output-dir.")


def check_free(directory: Path) -> None:
    """Refuse a directory that belongs to something else. Raises `UsageError`."""
    if not directory.exists():
        return
    strangers = sorted(path.name for path in directory.iterdir() if not path.name.startswith(LEFTOVERS))
    if strangers:
        shown = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        raise UsageError(
            f"The output directory {directory} holds other files ({shown}) and no run. Name one with --output-dir that "
            "is empty or does not exist yet."
        )


def check_writable(directory: Path) -> None:
    """Refuse a place where nothing can be written, as far as that shows without writing. Raises `UsageError`."""
    wanted = directory.absolute()
    nearest = next(path for path in (wanted, *wanted.parents) if path.exists())
    if not nearest.is_dir():
        what = "is a file" if nearest == wanted else f"cannot be made: {nearest} is a file"
        raise UsageError(
            f"The output directory {directory} {what}. Name a directory with --output-dir that is empty or does not "
            "exist yet."
        )
    if not os.access(nearest, os.W_OK | os.X_OK) or _read_only(nearest):
        raise UsageError(
            f"The output directory {directory} cannot be written: {nearest} is read-only for you. Name another place "
            "with --output-dir."
        )
    longest = os.pathconf(nearest, "PC_NAME_MAX")
    for name in wanted.relative_to(nearest).parts:
        if len(os.fsencode(name)) > longest:
            raise UsageError(
                f"The output directory {directory} cannot be made: a name in it is longer than {longest} bytes. Name a "
                "shorter one with --output-dir."
            )


def _read_only(path: Path) -> bool:
    """Whether the file system itself is read-only, which `os.access` does not tell root."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
