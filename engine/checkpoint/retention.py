"""Which checkpoints may go: the newest stay, the best stays, the last sound one stays, and damaged ones never count."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.checkpoint.files import DISK, Files
from engine.checkpoint.verify import Found, best_of, found

TRASH = ".trash-"


def to_prune(checkpoints: Sequence[Found], keep: int, best: str | None) -> tuple[Found, ...]:
    """Decide which of a run's checkpoints to remove, oldest first.

    The `keep` sound ones of the highest steps and the one named `best` stay. A damaged one neither counts nor is
    removed: it is evidence, and a person decides.
    """
    if keep < 1:
        raise ValueError(f"at least one checkpoint must be kept, not {keep}")
    sound = sorted((item for item in checkpoints if item.verdict.ok), key=lambda item: item.step)
    return tuple(item for item in sound[:-keep] if item.path.name != best)


def prune(
    rundir: Path,
    keep: int,
    best: Path | str | None = None,
    *,
    hashes: bool = False,
    on_error: Callable[[Path, OSError], None] | None = None,
    files: Files = DISK,
) -> list[Path]:
    """Remove what `to_prune` decides and return the paths that are gone.

    Without `best` the one of the lowest recorded validation loss is kept. Right after a save sizes are enough to call
    the others sound, since the newest was hashed a moment ago; `hashes=True` re-reads them all. One that cannot be
    removed stays, is told to `on_error`, and is tried again at the next prune.
    """
    checkpoints = found(rundir, hashes=hashes)
    lowest = best_of(checkpoints)
    name = Path(best).name if best is not None else (lowest.path.name if lowest else None)
    removed: list[Path] = []
    for item in to_prune(checkpoints, keep, name):
        trash = rundir / f"{TRASH}{item.path.name}-{secrets.token_hex(4)}"
        try:
            # Renamed first: a removal cut half-way must not leave a directory that looks like a checkpoint.
            files.rename(item.path, trash)
            files.sync_dir(rundir)
            removed.append(item.path)
            files.remove_tree(trash)
        except OSError as error:
            if on_error is not None:
                on_error(item.path, error)
    return removed
