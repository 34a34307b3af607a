"""The environment check of Setup: what the run will stand on, each finding said once, none of them fatal by itself."""

from __future__ import annotations

from pathlib import Path

import torch

from configs.schema import Config
from engine.checkpoint.space import shortage
from engine.plan.disk import Disk
from engine.plan.shape import BaseShape, shape_of, trainable
from engine.training.session import Session
from states.events import MessageLogged

LARGE_BASE_BYTES = 100 * 2**30
"""Free disk advised for a 12B base with its checkpoints."""

LARGE = 10_000_000_000
"""Parameters from which a base counts as one."""


def preflight(session: Session) -> None:
    """Look at disk and card and warn about what will hurt later."""
    with session.task("check the machine"):
        for text in concerns(session.config, shape_of(session.base), session.rundir.path):
            session.emit(MessageLogged(level="WARNING", logger="stint.preflight", text=text))


def concerns(config: Config, shape: BaseShape, directory: Path) -> list[str]:
    """Sentences on what is short for a run of `config` in `directory`, which need not exist."""
    found = []
    disk = Disk.of(directory, trainable=trainable(shape, config.moe), keep=config.training.save_total_limit)
    if shape.params >= LARGE and disk.free < LARGE_BASE_BYTES:
        found.append(
            f"{disk.free / 2**30:.0f} GiB are free on the disk of {directory}; 100 GiB are advised for a 12B base with "
            "its checkpoints. Free some, or lower save_total_limit."
        )
    short = shortage(directory, disk.needed)
    if short is not None:
        found.append(short)
    if shape.params >= LARGE and not torch.cuda.is_available():
        found.append("torch sees no GPU here: a 12B base will not train on a CPU in any window worth paying for.")
    return found
