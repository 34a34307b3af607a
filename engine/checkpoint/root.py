"""The best model at the run directory's root, where other tools look for it, published so that half of it never passes.

Each file is renamed into place and the manifest last: while they are being exchanged, the root does not match its
manifest, and a reader falls back to the best checkpoint.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from engine.checkpoint.errors import CheckpointFailed, CheckpointInvalid, is_disk_error, reason
from engine.checkpoint.files import DISK, Files, Writer
from engine.checkpoint.manifest import MANIFEST, Manifest, ManifestError, encode, read
from engine.checkpoint.store import STAGING, discard, stage
from engine.checkpoint.verify import Verdict, best_of, check_files, found, verify

MODEL_FILES = ("adapter_config.json", "adapter_model.safetensors", "moe_layers.safetensors")
"""What a checkpoint holds of the model itself; the rest of it serves only to go on training."""


def publish(
    rundir: Path, checkpoint: Path, extra_files: Mapping[str, Writer] | None = None, *, files: Files = DISK
) -> Manifest:
    """Copy the checkpoint's model to the root, write `extra_files` beside it, and return the root's manifest.

    `extra_files` (tokenizer, chat template, model card, ...) are writers by name. Files that an earlier publication
    listed and this one does not are removed. Raises `CheckpointInvalid` when the checkpoint does not verify and
    `CheckpointFailed` when the disk refuses; the checkpoint itself is never touched.
    """
    verdict = verify(checkpoint)
    if verdict.manifest is None or not verdict.ok:
        raise CheckpointInvalid(f"{checkpoint} cannot be published: {verdict.why}. Publish another checkpoint.")
    writers: dict[str, Writer] = {
        name: partial(_copy, checkpoint / name) for name in MODEL_FILES if name in verdict.manifest.files
    }
    writers |= extra_files or {}
    staging = rundir / f"{STAGING}root-{secrets.token_hex(4)}"
    try:
        files.make_dir(staging)
        listed = stage(staging, writers, files=files)
        manifest = Manifest(
            run_id=verdict.manifest.run_id,
            step=verdict.manifest.step,
            cause=verdict.manifest.cause,
            created_wall=time.time(),
            config_hash=verdict.manifest.config_hash,
            eval_loss=verdict.manifest.eval_loss,
            versions=verdict.manifest.versions,
            files=listed,
            source=checkpoint.name,
        )
        files.write(staging / MANIFEST, encode(manifest))
        files.sync_dir(staging)
        stale = _listed_before(rundir) - set(listed)
        for name in (*listed, MANIFEST):
            files.rename(staging / name, rundir / name)
        files.sync_dir(rundir)
        for name in sorted(stale):
            if os.path.lexists(rundir / name):
                files.unlink(rundir / name)
    except BaseException as error:
        discard(staging, files=files)
        if is_disk_error(error):
            raise CheckpointFailed(
                f"The model of {checkpoint.name} could not be published in {rundir}: {reason(error)}. The checkpoint "
                "itself is whole and can be used as it is; free space or check the disk, and publish it again."
            ) from error
        raise
    discard(staging, files=files)
    return manifest


def verify_root(rundir: Path, *, hashes: bool = True) -> Verdict:
    """Check the published model. Other files at the root (journal, reports, checkpoints) are none of its business."""
    try:
        manifest = read(rundir / MANIFEST)
    except (ManifestError, OSError) as error:
        return Verdict(problems=(f"{MANIFEST}: {reason(error)}",), manifest=None)
    return Verdict(problems=tuple(check_files(rundir, manifest, hashes=hashes)), manifest=manifest)


def best_source(rundir: Path, *, on_skip: Callable[[Path, str], None]) -> Path | None:
    """Return the folder to read the best model from: the root if it verifies, else the best checkpoint, else None.

    Without any recorded validation loss the newest sound checkpoint is taken. What is passed over is told to
    `on_skip`; a root that was never published is not worth a word.
    """
    verdict = verify_root(rundir)
    if verdict.ok:
        return rundir
    if verdict.manifest is not None or (rundir / MANIFEST).exists():
        on_skip(rundir, verdict.why)
    checkpoints = found(rundir, hashes=True)
    for item in checkpoints:
        if not item.verdict.ok:
            on_skip(item.path, item.verdict.why)
    sound = [item for item in checkpoints if item.verdict.ok]
    chosen = best_of(sound) or (sound[-1] if sound else None)
    return chosen.path if chosen else None


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target, follow_symlinks=False)


def _listed_before(rundir: Path) -> set[str]:
    try:
        return set(read(rundir / MANIFEST).files)
    except (ManifestError, OSError):
        return set()
