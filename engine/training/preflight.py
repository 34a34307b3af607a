"""The environment check of Setup: what the run will stand on, each finding said once, none of them fatal by itself."""

from __future__ import annotations

import shutil

import torch

from engine.checkpoint.space import checkpoint_bytes, free_bytes_needed, shortage
from engine.plan.shape import shape_of, trainable
from engine.training.session import Session
from states.events import MessageLogged

LARGE_BASE_BYTES = 100 * 2**30
"""Free disk advised for a 12B base with its checkpoints."""
LARGE_HINT = "12b"


def preflight(session: Session) -> None:
    """Look at disk and card and warn about what will hurt later."""
    with session.task("check the machine"):
        usage = shutil.disk_usage(session.rundir.path)
        name = session.config.training.base_model.lower()
        if LARGE_HINT in name and usage.free < LARGE_BASE_BYTES:
            _warn(
                session,
                f"{usage.free / 2**30:.0f} GiB are free on the disk of {session.rundir.path}; 100 GiB are advised for "
                "a 12B base with its checkpoints. Free some, or lower save_total_limit.",
            )
        one = checkpoint_bytes(trainable(shape_of(session.base), session.config.moe))
        short = shortage(session.rundir.path, free_bytes_needed(one, session.config.training.save_total_limit))
        if short is not None:
            _warn(session, short)
        if LARGE_HINT in name and not torch.cuda.is_available():
            _warn(session, "torch sees no GPU here: a 12B base will not train on a CPU in any window worth paying for.")


def _warn(session: Session, text: str) -> None:
    session.emit(MessageLogged(level="WARNING", logger="stint.preflight", text=text))
