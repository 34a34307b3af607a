"""Both sides of the data as examples: rendered in memory, or through the token cache where there are very many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from configs.schema import Config
from engine.data.cache import THRESHOLD, TokenCache, cache_key
from engine.data.example import Example
from engine.data.sources import Progress, Sources
from engine.data.template import Renderer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """The examples of both sides, and sentences about how they came to be."""

    train: list[Example]
    validation: list[Example]
    notes: tuple[str, ...]


def tokenize(
    config: Config, tokenizer: Any, sources: Sources, progress: Progress, *, threshold: int = THRESHOLD
) -> Tokens:
    """Render every conversation; from `threshold` conversations on the result is kept for the next run."""
    total = len(sources.train) + len(sources.validation)
    if total < threshold:
        return _render(config, tokenizer, sources, progress)
    renderer = Renderer(tokenizer, config.training.max_length, sources.domains)
    training = config.training
    parts = (
        *(dataset.digest for dataset in sources.datasets),
        training.eval_fraction,
        training.seed,
        config.moe.domain_source,
        config.moe.num_experts,
        *sources.domains,
    )
    cache, key = TokenCache(), cache_key(tokenizer, renderer, parts)
    progress("tokenize", 0, total)
    kept = cache.load(key)
    if kept is not None:
        progress("tokenize", total, total)
        said = (f"Tokens were read from the cache of an earlier run ({key}).",)
        return Tokens(train=kept.train, validation=kept.validation, notes=(*kept.tally.notes(), *said))
    sides = (sources.train, sources.validation)
    kept = cache.store(key, renderer, sides, lambda done: progress("tokenize", done, total))
    if kept is None:
        # The cache is a convenience: a full disk or another writer costs time, not the run.
        return _render(config, tokenizer, sources, progress)
    return Tokens(train=kept.train, validation=kept.validation, notes=kept.tally.notes())


def _render(config: Config, tokenizer: Any, sources: Sources, progress: Progress) -> Tokens:
    renderer = Renderer(tokenizer, config.training.max_length, sources.domains)
    before = len(sources.train)
    total = before + len(sources.validation)
    progress("tokenize", 0, total)
    train = renderer.render_all(sources.train, lambda done: progress("tokenize", done, total))
    validation = renderer.render_all(sources.validation, lambda done: progress("tokenize", before + done, total))
    return Tokens(train=train, validation=validation, notes=renderer.tally.notes())
