"""The conversations an evaluation is over: a file, or what the run held out. Read before any model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import DataError, UsageError, UserError
from engine.data.conversation import Conversation
from engine.data.formats import Dataset, read_dataset
from engine.data.prepare import read_sources
from engine.data.sampler import order
from engine.data.split import without_shared_prompts
from engine.data.template import GENERAL
from engine.quality.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What the model is evaluated on."""

    conversations: tuple[Conversation, ...]
    name: str
    digest: str
    """SHA-256 over the files and what was taken of them."""
    of: int
    """Conversations there were before a limit."""
    notes: tuple[str, ...] = ()
    trained: int = 0
    """How many begin with a prompt that was trained on, before a limit."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Sorted; `general` stands for conversations that name none."""
        return tuple(sorted({each.domain or GENERAL for each in self.conversations}))


def held_out(subject: Subject, test_data: Path | None, *, limit: int | None, seed: int) -> HeldOut:
    """Read them; with a limit a seeded part, every domain in its share. Raises `DataError` or `UsageError`."""
    found = _of_run(subject) if test_data is None else _of_file(subject, test_data)
    conversations = found.conversations
    if limit is None or limit >= len(conversations):
        return found
    places = {name: index for index, name in enumerate(found.domains)}
    labels = [places[each.domain or GENERAL] for each in conversations]
    chosen = sorted(order(seed, 0, len(conversations), labels)[:limit])
    return replace(found, conversations=tuple(conversations[index] for index in chosen))


def _of_file(subject: Subject, path: Path) -> HeldOut:
    if not path.exists():
        raise DataError(f"There is no test data at {path}. Correct --test-data.")
    dataset = read_dataset(path)
    return HeldOut(
        conversations=dataset.conversations,
        name=path.name,
        digest=_digest([dataset], "all"),
        of=len(dataset.conversations),
        notes=dataset.notes,
        trained=_shared_with_training(subject, dataset.conversations),
    )


def _of_run(subject: Subject) -> HeldOut:
    if subject.config is None:
        raise UsageError(
            f"{subject.source} is in no run, so nothing was held out for it. Name conversations with --test-data."
        )
    sources = read_sources(subject.config)
    known = subject.trained_on()
    if known is not None and known != [dataset.digest for dataset in sources.datasets]:
        raise DataError(
            f"{sources.datasets[0].path} has changed since this run, so what is held out of it may have been trained "
            "on. Put the old file back, or name other conversations with --test-data."
        )
    training = subject.config.training
    named = training.validation_dataset
    return HeldOut(
        conversations=sources.validation,
        name=Path(named).name if named else f"held out of {Path(training.dataset).name}",
        digest=_digest(sources.datasets, "validation" if named else f"{training.eval_fraction}:{training.seed}"),
        of=len(sources.validation),
    )


def _shared_with_training(subject: Subject, conversations: Sequence[Conversation]) -> int:
    """How many stand in the training data too, by their prompt; 0 where that cannot be looked up any more."""
    if subject.config is None:
        return 0
    try:
        trained = read_sources(subject.config).train
    except UserError:
        return 0
    return len(without_shared_prompts(conversations, trained)[1])


def _digest(datasets: Sequence[Dataset], part: str) -> str:
    return hashlib.sha256("\x00".join([*(dataset.digest for dataset in datasets), part]).encode()).hexdigest()
