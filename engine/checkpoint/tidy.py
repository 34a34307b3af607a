"""The start of a run removes what the last one left half done, and undoes a replacement that was cut short."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from engine.checkpoint.files import DISK, Files
from engine.checkpoint.retention import TRASH
from engine.checkpoint.store import STAGING
from engine.checkpoint.verify import SET_ASIDE_NAME, verify


def tidy(rundir: Path, *, files: Files = DISK) -> tuple[str, ...]:
    """Clean `rundir`, which no engine may be using, and return a sentence for each thing done or refused."""
    notes: list[str] = []
    for path in sorted(rundir.iterdir()) if rundir.is_dir() else ():
        try:
            if SET_ASIDE_NAME.fullmatch(path.name):
                notes.append(_settle(path, files=files))
            elif path.name.startswith((STAGING, TRASH)):
                files.remove_tree(path)
                notes.append(f"Removed {path.name}, left by an interrupted run.")
        except OSError as error:
            notes.append(f"{path.name}, left by an interrupted run, could not be removed: {error.strerror or error}.")
    return tuple(notes)


def _settle(aside: Path, *, files: Files) -> str:
    """Decide between a checkpoint set aside and the one that was to replace it: a sound new one wins."""
    match = SET_ASIDE_NAME.fullmatch(aside.name)
    target = aside.parent / f"checkpoint-{match.group(1) if match else ''}"
    taken = os.path.lexists(target)
    if taken and (verify(target).ok or not verify(aside).ok):
        files.remove_tree(aside)
        return f"Removed {aside.name}: {target.name} replaced it."
    if taken:
        files.rename(target, aside.parent / f"{TRASH}{target.name}-{secrets.token_hex(4)}")
    files.rename(aside, target)
    files.sync_dir(aside.parent)
    return f"Put {target.name} back: its replacement was interrupted."
