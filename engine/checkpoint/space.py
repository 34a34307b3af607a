"""Will the checkpoints fit? Sizes by arithmetic before anything is trained, so that a full disk is said early."""

from __future__ import annotations

import shutil
from pathlib import Path

from states.wording import size

ADAPTER_BYTES = 4
"""Adapters are stored in fp32."""

MOMENT_BYTES = 8
"""AdamW keeps two fp32 moments a parameter."""

SIDE_BYTES = 1 << 20
"""JSON beside the tensors: the log history, the manifest, headers."""

HEADROOM = 1.1
"""Journal, log and reports grow on the same disk, and file systems round up."""


def checkpoint_bytes(trainable_params: int) -> int:
    """Return an upper bound of one checkpoint's size.

    Every trainable parameter is once in moe_layers.safetensors or adapter_model.safetensors; shared and averaged
    ones are in both, hence twice the adapter bytes.
    """
    return trainable_params * (2 * ADAPTER_BYTES + MOMENT_BYTES) + SIDE_BYTES


def free_bytes_needed(one_checkpoint: int, keep: int, *, existing_bytes: int = 0) -> int:
    """Return the free space a run needs: `keep` checkpoints, the best, one being staged, and the published model.

    `existing_bytes` are those of checkpoints already there, which retention will give back.
    """
    published = one_checkpoint // 2
    total = (keep + 2) * one_checkpoint + published
    return max(int(total * HEADROOM) - existing_bytes, one_checkpoint)


def free_bytes(path: Path) -> int:
    """Return what the disk that holds `path`, or will hold it, has left for this user."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def shortage(path: Path, needed: int) -> str | None:
    """Return a sentence when the disk of `path` has less than `needed` bytes free, else None."""
    free = free_bytes(path)
    if free >= needed:
        return None
    return (
        f"Checkpoints need {size(needed)} on the disk of {path}, and {size(free)} are free. Free "
        f"{size(needed - free)}, lower save_total_limit, or choose another --output-dir."
    )
