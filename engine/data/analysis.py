"""`dataset analyze`: how long conversations are, what each domain teaches, and how many steps and bins that makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from configs.schema import Config
from engine.data.conversation import Conversation
from engine.data.desk import Desk, tokenizer
from engine.data.example import Example
from engine.data.garbage import seldom_collected
from engine.data.histogram import Bucket, buckets
from engine.data.packing import pack
from engine.data.prepare import read_sources
from engine.data.sampler import order
from engine.data.sources import Sources
from engine.data.stats import Spread
from engine.data.survey import Lengths, survey
from engine.data.template import GENERAL, Renderer

PACKED_STEPS: Final = 256
"""Steps of the first epoch that are packed to count their bins, evenly over it; all where it has fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainFacts:
    """What one domain holds."""

    name: str
    conversations: int
    tokens: int
    targets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """What the configuration makes of the data."""

    train: int
    """Conversations, as in `validation`."""
    validation: int
    examples: int
    """What an epoch counts: conversations, or parts of those above max_length."""
    conversations_per_step: int
    steps_per_epoch: int
    epochs: int
    bin_tokens: int
    bins_per_step: float
    bin_fill: float
    """Share of the bins' capacity that holds tokens."""

    @property
    def steps(self) -> int:
        """Optimizer steps of all epochs; a plan may take fewer to fit the window."""
        return self.steps_per_epoch * self.epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The whole answer."""

    rows: int
    conversations: int
    turns: int
    tokens: int
    targets: int
    lengths: Spread
    """Tokens per conversation, as trained: of a long one its parts added up."""
    histogram: list[Bucket]
    domains: list[DomainFacts]
    steps: StepFacts
    notes: tuple[str, ...]
    sha256: str


@seldom_collected()
def analyze(desk: Desk, progress: Callable[[str, int, int], None]) -> Analysis:
    """Read, split and tokenise a file under a configuration; raises `DataError` and `ConfigError`."""
    config = desk.config
    sources = read_sources(config, progress)
    renderer = Renderer(tokenizer(config), config.training.max_length, sources.domains)
    # A validation file of its own is no part of the file that was asked about.
    sides = [sources.train] if len(sources.datasets) > 1 else [sources.train, sources.validation]
    total = sum(map(len, sides))
    lengths: list[Lengths] = []
    done = 0
    progress("tokenize", 0, total)
    for side in sides:
        lengths.append(survey(renderer, side, _look_away, lambda n, done=done: progress("tokenize", done + n, total)))  # type: ignore[misc]
        done += len(side)
    spans = [tokens for side in lengths for tokens in side.by_conversation()]
    return Analysis(
        rows=sources.datasets[0].rows,
        conversations=total,
        turns=sum(len(each.turns) for side in sides for each in side),
        tokens=sum(spans),
        targets=sum(sum(side.targets) for side in lengths),
        lengths=Spread.of(spans),
        histogram=buckets(spans),
        domains=_domains(sources, sides, lengths),
        steps=_steps(config, lengths[0], sources),
        notes=(*sources.notes, *renderer.tally.notes()),
        sha256=sources.datasets[0].digest,
    )


def _look_away(conversations: Sequence[Conversation], examples: Sequence[Example]) -> None:
    """Only the lengths are wanted."""


def _domains(
    sources: Sources, sides: Sequence[Sequence[Conversation]], lengths: Sequence[Lengths]
) -> list[DomainFacts]:
    conversations = dict.fromkeys(sources.domains, 0)
    for side in sides:
        for each in side:
            conversations[each.domain or GENERAL] += 1
    tokens = [0] * len(sources.domains)
    targets = [0] * len(sources.domains)
    for counted in lengths:
        for index, length, aimed in zip(counted.domains, counted.tokens, counted.targets, strict=True):
            tokens[index] += length
            targets[index] += aimed
    return [
        DomainFacts(name=name, conversations=conversations[name], tokens=tokens[index], targets=targets[index])
        for index, name in enumerate(sources.domains)
    ]


def _steps(config: Config, train: Lengths, sources: Sources) -> StepFacts:
    training = config.training
    size, count = training.conversations_per_step, len(train.tokens)
    per_epoch = -(-count // size)
    sequence = order(training.seed, 0, count, train.domains)
    stride = max(1, -(-per_epoch // PACKED_STEPS))
    packed = bins = held = 0
    for step in range(0, per_epoch, stride):
        tokens = [train.tokens[index] for index in sequence[step * size : (step + 1) * size]]
        bins += len(pack(tokens, training.bin_tokens))
        held += sum(tokens)
        packed += 1
    return StepFacts(
        train=len(sources.train),
        validation=len(sources.validation),
        examples=count,
        conversations_per_step=size,
        steps_per_epoch=per_epoch,
        epochs=training.num_train_epochs,
        bin_tokens=training.bin_tokens,
        bins_per_step=bins / packed if packed else 0.0,
        bin_fill=held / (bins * training.bin_tokens) if bins else 0.0,
    )


def analysis_json(desk: Desk, found: Analysis) -> dict[str, Any]:
    """The analysis as one object."""
    steps, lengths = found.steps, found.lengths
    return {
        "file": str(desk.file),
        "sha256": found.sha256,
        "settings": desk.settings,
        "rows": found.rows,
        "conversations": found.conversations,
        "turns": found.turns,
        "tokens": {
            "total": found.tokens,
            "targets": found.targets,
            "average": lengths.average,
            "minimum": lengths.minimum,
            "maximum": lengths.maximum,
            "p50": lengths.p50,
            "p95": lengths.p95,
        },
        "histogram": [{"low": each.low, "high": each.high, "count": each.count} for each in found.histogram],
        "domains": {
            each.name: {"conversations": each.conversations, "tokens": each.tokens, "targets": each.targets}
            for each in found.domains
        },
        "training": {
            "train": steps.train,
            "validation": steps.validation,
            "examples": steps.examples,
            "conversations_per_step": steps.conversations_per_step,
            "steps_per_epoch": steps.steps_per_epoch,
            "epochs": steps.epochs,
            "steps": steps.steps,
            "bin_tokens": steps.bin_tokens,
            "bins_per_step": steps.bins_per_step,
            "bin_fill": steps.bin_fill,
        },
        "notes": list(found.notes),
    }
