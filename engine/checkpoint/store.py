"""Saving: a checkpoint is staged beside the others, made durable, hashed, and only then given its name.

A reader therefore finds either all of it or nothing, whatever ends the process or the machine in between. See Pillai
et al., "All File Systems Are Not Created Equal" (OSDI 2014), for why each fsync is there.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.errors import CheckpointFailed, is_disk_error, is_full, reason
from engine.checkpoint.files import DISK, Digest, Files, Writer
from engine.checkpoint.manifest import FILE_NAME, MANIFEST, Manifest, Meta, describe, encode
from engine.checkpoint.space import free_bytes
from engine.checkpoint.verify import Verdict, newest_valid, verify
from states.phases import Cause
from states.wording import size

__all__ = ["STAGING", "Saved", "Verdict", "discard", "newest_valid", "save", "stage", "verify"]

STAGING = ".staging-"
SET_ASIDE = ".previous-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One durable checkpoint; `bytes` counts its files, `save_s` is the time the save took."""

    path: Path
    manifest: Manifest
    bytes: int
    save_s: float


def save(
    rundir: Path, step: int, writers: Mapping[str, Writer], *, cause: Cause, meta: Meta, files: Files = DISK
) -> Saved:
    """Write `checkpoint-<step>` and return once it is durable.

    Each writer is called with the path of the file it must create. A checkpoint of the same step is replaced; until
    the new one has its name the old one stays readable. Raises `CheckpointFailed` when the disk refuses.
    """
    started = time.monotonic()
    nonce = secrets.token_hex(4)
    staging = rundir / f"{STAGING}{step}-{nonce}"
    target = rundir / f"checkpoint-{step}"
    aside = rundir / f"{SET_ASIDE}{step}-{nonce}"
    try:
        files.make_dir(staging)
        listed = stage(staging, writers, files=files)
        manifest = describe(step, cause, meta, listed, created_wall=time.time())
        files.write(staging / MANIFEST, encode(manifest))
        files.sync_dir(staging)
        _commit(staging, target, aside, files=files)
    except BaseException as error:
        discard(staging, files=files)
        if is_disk_error(error):
            raise CheckpointFailed(_message(rundir, step, error)) from error
        raise
    if os.path.lexists(aside):
        discard(aside, files=files)
    return Saved(path=target, manifest=manifest, bytes=manifest.bytes, save_s=time.monotonic() - started)


def stage(folder: Path, writers: Mapping[str, Writer], *, files: Files) -> dict[str, Digest]:
    """Let every writer create its file in `folder`, make each durable and return its digest by name."""
    bad = [name for name in writers if not FILE_NAME.fullmatch(name) or name == MANIFEST]
    if bad or not writers:
        raise ValueError(f"not names for checkpoint files: {bad}" if bad else "a checkpoint needs files")
    listed: dict[str, Digest] = {}
    for name, writer in writers.items():
        path = folder / name
        files.produce(path, writer)
        files.sync_file(path)
        listed[name] = files.digest(path)
    return listed


def discard(path: Path, *, files: Files) -> None:
    """Remove what a save left behind, as far as the disk lets us; `tidy` finishes the work at the next start."""
    try:
        if os.path.lexists(path):
            files.remove_tree(path)
    except OSError:
        return


def _commit(staging: Path, target: Path, aside: Path, *, files: Files) -> None:
    """Give the staged directory its name. Between the two renames the old checkpoint is found under `aside`.

    One fsync makes both renames durable: what is staged is whole already, so either of them alone leaves a sound one.
    """
    try:
        if os.path.lexists(target):
            files.rename(target, aside)
        files.rename(staging, target)
    except BaseException:
        if os.path.lexists(aside) and not os.path.lexists(target):
            files.rename(aside, target)
        raise
    files.sync_dir(target.parent)


def _message(rundir: Path, step: int, error: BaseException) -> str:
    where = f" ({Path(error.filename).name})" if isinstance(error, OSError) and error.filename else ""
    remedy = (
        f"Free space on the disk of {rundir} ({size(free_bytes(rundir))} free), or lower save_total_limit."
        if is_full(error)
        else f"Check the disk of {rundir}."
    )
    what = f"The checkpoint of step {step} was not saved: {reason(error)}{where}."
    return f"{what} Older checkpoints are untouched. {remedy}"
