"""From a configuration to examples: read, split, render, count. The one entry into this room for training.

Reading and splitting need no tokenizer and come first, so that a wrong file is reported at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError
from configs.schema import Config
from engine.data.audit import audit_run, audit_words
from engine.data.domains import assign
from engine.data.example import Example
from engine.data.formats import read_dataset
from engine.data.garbage import seldom_collected
from engine.data.histogram import buckets
from engine.data.sampler import order
from engine.data.sources import Progress, Sources
from engine.data.split import split, without_shared_prompts
from engine.data.stats import DataStats, SideStats, Stage
from engine.data.template import GENERAL
from engine.data.tokenizing import tokenize
from states.events import DataPrepared


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Everything training needs of the data."""

    train: list[Example]
    validation: list[Example]
    domains: tuple[str, ...]
    stats: DataStats
    notes: tuple[str, ...]
    digests: tuple[str, ...]
    """SHA-256 of the files read."""
    made: tuple[str, ...] = ()
    """Domains that are groups by wording and no labels of the data."""

    def event(self) -> DataPrepared:
        """The fact for the journal."""
        lengths = buckets([example.tokens for example in self.train])
        edges = [bucket.low for bucket in lengths]
        edges += [bucket.high for bucket in lengths[-1:] if bucket.high is not None]
        return DataPrepared(
            train_conversations=self.stats.train.conversations,
            eval_conversations=self.stats.validation.conversations,
            train_tokens=self.stats.train.tokens,
            train_targets=self.stats.train.targets,
            eval_targets=self.stats.validation.targets,
            domains=self.stats.train.domains,
            notes=self.notes,
            waterfall={stage.name: stage.count for stage in self.stats.waterfall},
            domain_targets=self.stats.train.domain_targets,
            length_edges=tuple(edges),
            length_counts=tuple(bucket.count for bucket in lengths),
        )


def _silent(task: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""


@seldom_collected()
def read_sources(config: Config, progress: Progress = _silent) -> Sources:
    """Read the files, check them and keep the two sides apart; raises `DataError` or `ConfigError`."""
    training = config.training
    names = [training.dataset] + ([training.validation_dataset] if training.validation_dataset else [])
    datasets = []
    for number, name in enumerate(names):
        progress("read dataset", number, len(names))
        datasets.append(read_dataset(Path(name)))
    progress("read dataset", len(names), len(names))
    notes = list(datasets[0].notes)
    if len(datasets) == 1:
        train, validation = split(datasets[0].conversations, training.eval_fraction, training.seed)
    else:
        notes += [f"Validation: {note}" for note in datasets[1].notes]
        validation = list(datasets[1].conversations)
        train, leaked = without_shared_prompts(datasets[0].conversations, validation)
        if leaked:
            first = ", ".join(str(each.row) for each in leaked[:3]) + (", ..." if len(leaked) > 3 else "")
            notes.append(
                f"Left out {len(leaked):,} training conversations whose prompt stands in the validation file "
                f"({datasets[0].unit}s {first})."
            )
        if not train:
            raise nothing_left(names)
    assigned = assign(train, validation, config.moe, training.seed)
    notes += assigned.notes
    domains = tuple(sorted({each.domain or GENERAL for each in (*assigned.train, *assigned.validation)}))
    unnamed = sum(each.domain is None for each in assigned.train)
    if unnamed and len(domains) > 1:
        notes.append(f'{unnamed:,} training conversations name no domain and count as "{GENERAL}".')
    check_names(config.moe.domains, domains)
    for number, dataset in enumerate(datasets):
        notes += [f"Validation: {note}" if number else note for note in audit_words(dataset, splits=len(datasets) == 1)]
    return Sources(
        train=assigned.train,
        validation=assigned.validation,
        domains=domains,
        datasets=tuple(datasets),
        notes=tuple(notes),
        made=assigned.made,
    )


@seldom_collected()
def prepare(config: Config, tokenizer: Any, progress: Progress = _silent, sources: Sources | None = None) -> Prepared:
    """Render both sides; pass `sources` when they were read before the tokenizer was there."""
    sources = sources or read_sources(config, progress)
    total = len(sources.train) + len(sources.validation)
    tokens = tokenize(config, tokenizer, sources, progress)
    train, validation = tokens.train, tokens.validation
    for side, examples in (("training", train), ("validation", validation)):
        if not examples:
            raise DataError(
                f"No {side} conversation could be rendered with this chat template within max_length "
                f"{config.training.max_length}; raise max_length or give another template with --chat-template FILE."
            )
    sides = SideStats.of(train, sources.domains), SideStats.of(validation, sources.domains)
    waterfall = (
        Stage(name="read", count=sum(dataset.rows for dataset in sources.datasets)),
        Stage(name="parsed", count=sum(dataset.parsed for dataset in sources.datasets)),
        Stage(name="kept", count=total),
        Stage(name="examples", count=len(train) + len(validation)),
        Stage(name="tokens", count=sum(side.tokens for side in sides)),
        Stage(name="targets", count=sum(side.targets for side in sides)),
    )
    return Prepared(
        train=train,
        validation=validation,
        domains=sources.domains,
        stats=DataStats(waterfall=waterfall, train=sides[0], validation=sides[1]),
        notes=(*sources.notes, *tokens.notes, *audit_run(config, tokenizer, sources, train, validation)),
        digests=tuple(dataset.digest for dataset in sources.datasets),
        made=sources.made,
    )


def eval_subset(examples: Sequence[Example], max_tokens: int, seed: int) -> list[Example]:
    """A fixed part of the validation set for use during training: at most `max_tokens`, at least one example.

    Drawn with every domain in its share, and the same whenever seed and examples are the same.
    """
    chosen: list[Example] = []
    tokens = 0
    for index in order(seed, 0, len(examples), [example.domain_index for example in examples]):
        tokens += examples[index].tokens
        if chosen and tokens > max_tokens:
            break
        chosen.append(examples[index])
    return chosen


def nothing_left(names: Sequence[str]) -> DataError:
    """What to say when validation has every prompt of training."""
    return DataError(
        f"Every prompt (first client turn) of {names[0]} also stands in {names[1]}, so nothing is left to "
        "train on; name another validation file, or none to have one set aside."
    )


def check_names(wanted: Sequence[str] | None, found: Sequence[str]) -> None:
    """A domain that is configured but not in the data is a slip of the pen, or the wrong file."""
    for name in wanted or ():
        if name not in found:
            close = difflib.get_close_matches(name, found, n=1)
            hint = f' (did you mean "{close[0]}"?)' if close else ""
            raise ConfigError(
                f'moe.domains names "{name}"{hint}, which no conversation has; the data set has {", ".join(found[:8])}.'
            )
