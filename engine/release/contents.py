"""What of a run a backup holds: the model, what resumes it, what tells of it. Conversations only where asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.errors import UsageError
from engine.checkpoint.verify import best_of, found
from engine.quality.folder import REPLIES
from engine.quality.subject import Subject
from engine.release.forms import Checkpoints
from engine.run.rundir import RunDir

LOCAL = frozenset({"engine.lock", "engine.json", "control.sock", "engine.out"})
"""Belongs to a process, not to a run."""
CONVERSATIONS = "conversations"
"""The folder that asked-for conversations are in, in a backup and in what was restored from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a backup."""

    name: str
    """Its path in the archive, with slashes."""
    path: Path


def members(subject: Subject, *, checkpoints: Checkpoints, conversations: bool) -> list[Member]:
    """The files, sorted by name.

    Raises:
        UsageError: the run is being written, or asked-for conversations are not there any more.
    """
    run = subject.source
    if RunDir(run).is_live():
        raise UsageError(
            f"{run}: an engine is training here, so its files change while they are read. Back it up when it has "
            f"stopped; `python run.py send finish {run}` stops it early."
        )
    kept = _kept(run, checkpoints)
    chosen: list[Member] = []
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        first = name.split("/", 1)[0]
        if path.is_symlink() or not path.is_file() or first in LOCAL or _unfinished(name):
            continue
        if first.startswith("checkpoint-") and first not in kept:
            continue
        # An earlier backup beside the model may hold conversations, and would be packed again and again.
        if first == CONVERSATIONS or first.endswith((".tar", ".tar.gz", ".tgz")):
            continue
        if path.name == REPLIES and not conversations:
            continue
        chosen.append(Member(name=name, path=path))
    if conversations:
        chosen += _data(subject)
    return sorted(chosen, key=lambda member: member.name)


def _kept(run: Path, checkpoints: Checkpoints) -> set[str]:
    if checkpoints is Checkpoints.NONE:
        return set()
    sound = [item for item in found(run, hashes=True) if item.verdict.ok]
    if checkpoints is Checkpoints.NEEDED and sound:
        sound = [item for item in (best_of(sound), sound[-1]) if item is not None]
    return {item.path.name for item in sound}


def _unfinished(name: str) -> bool:
    """Hidden files are staged ones of ours; a model never needs one."""
    return any(part.startswith(".") for part in name.split("/"))


def _data(subject: Subject) -> list[Member]:
    if subject.config is None:
        raise UsageError(f"{subject.source} does not say what it was trained on, so there are no conversations to add.")
    training = subject.config.training
    added = []
    for folder, named in (("train", training.dataset), ("validation", training.validation_dataset)):
        if not named:
            continue
        name = f"{CONVERSATIONS}/{folder}/{Path(named).name}"
        # A run that was restored elsewhere has them within.
        path = next((each for each in (Path(named), subject.source / name) if each.is_file()), None)
        if path is None:
            raise UsageError(f"The conversations {named} are not there any more. Leave --include-conversations out.")
        added.append(Member(name=name, path=path))
    return added
