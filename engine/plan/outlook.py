"""The plan of a run that has not begun: without a run directory, without training, and without the base if need be.

What is not known here is assumed, and each assumption is a sentence: the tokens from the characters where there is no
tokenizer, the card where there is none, the speed where no run was measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.schema import Config
from engine.data.prepare import prepare, read_sources
from engine.data.sources import Sources
from engine.model.resolve import resolve
from engine.plan.disk import Disk
from engine.plan.estimate import Plan, make_plan
from engine.plan.history import recalled
from engine.plan.premises import Premises
from engine.plan.shape import shape_of, trainable
from engine.plan.throughput import DOWNLOAD_BYTES_PER_S, IMPORTS_S, remembered
from engine.plan.workload import Workload, from_config
from engine.training.choose import Choice, settle
from engine.training.placement import place
from engine.training.window import opening
from states.events import DataPrepared
from states.wording import duration, size

CHARACTERS = 4
"""Of English a token, which is what most tokenizers come to."""

CARD_BYTES = 80_000_000_000
"""The card that the profiles' figures are for."""

LARGE = 1_000_000_000
"""Parameters from which a base is trained on a card, whatever machine it is planned on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What a person states about a machine that is not this one."""

    tokens_per_s: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A plan with what it stands on."""

    plan: Plan
    work: Workload
    disk: Disk
    opened_wall: float
    said: tuple[str, ...]
    """Sentences: which configuration was taken, and what had to be assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """The data in tokens."""

    facts: DataPrepared
    train_examples: int
    eval_examples: int
    eval_tokens: int
    longest: int
    domains: int


def outlook(choice: Choice, assumed: Assumed, progress: Callable[[str, int, int], None]) -> Outlook:
    """Plan what `train` would do with these options, now. Raises a `UserError` for what is wrong with them."""
    began = time.monotonic()
    settled = settle(choice)
    config, said = settled.config, list(settled.said)
    window = opening(
        hours=choice.hours, deadline=choice.deadline, configured_hours=config.window_hours, now=time.time()
    )
    sources = read_sources(config, progress)
    source, here = _base(config, said)
    counts = _count(config, sources, progress, said, here=here)
    premises = _premises(config, source, counts, assumed, said)
    passed_s = IMPORTS_S + time.monotonic() - began
    costs = premises.assumed(assumed.tokens_per_s)
    memory, adjusted = premises.memory(manual=choice.manual)
    if assumed.tokens_per_s is not None:
        costs = replace(costs, source="stated")
    else:
        costs = remembered(costs, recalled(premises.key(memory)), passed_s=passed_s)
    if isinstance(source, str):
        wait_s = 2 * premises.shape.params / DOWNLOAD_BYTES_PER_S
        costs = replace(costs, setup_s=costs.setup_s + wait_s)
        said.append(f"Its download of about {size(2 * premises.shape.params)} is counted with {duration(wait_s)}.")
    work = from_config(
        config,
        counts.facts,
        eval_tokens=counts.eval_tokens,
        eval_examples=counts.eval_examples,
        window_s=window.length_s,
    )
    work = replace(work, train_examples=counts.train_examples)
    plan = make_plan(
        work,
        costs,
        manual=choice.manual,
        memory=memory,
        adjusted=adjusted,
        alternatives=() if assumed.tokens_per_s is not None else premises.alternatives(memory),
    )
    training = config.training
    disk = Disk.of(
        Path(training.output_dir), trainable=trainable(premises.shape, config.moe), keep=training.save_total_limit
    )
    return Outlook(plan=plan, work=work, disk=disk, opened_wall=window.opened_wall, said=tuple(said))


def _base(config: Config, said: list[str]) -> tuple[Path | str, bool]:
    """Where the base is, and whether anything of it can be read; a hub id may be out of reach, a folder may not."""
    name = config.training.base_model
    try:
        return resolve(name), True
    except ConfigError:
        if "/" not in name or name.startswith((".", "/", "~")):
            raise
    said.append(f"The base model {name} is neither here nor within reach: its size and shape are judged by its name.")
    return name, False


def _count(
    config: Config, sources: Sources, progress: Callable[[str, int, int], None], said: list[str], *, here: bool
) -> _Counts:
    """The data in tokens: counted by the base's tokenizer, else judged by the characters."""
    tokenizer = None
    if here:
        from engine.data.desk import tokenizer as load

        try:
            tokenizer = load(config)
        except ConfigError:
            if Path(config.training.base_model).is_dir():
                raise
    if tokenizer is None:
        said.append(f"Without its tokenizer, tokens are judged by the text: one for {CHARACTERS} characters.")
        return _judged(config, sources)
    prepared = prepare(config, tokenizer, progress, sources)
    lengths = [example.tokens for example in (*prepared.train, *prepared.validation)]
    return _Counts(
        facts=prepared.event(),
        train_examples=len(prepared.train),
        eval_examples=len(prepared.validation),
        eval_tokens=prepared.stats.validation.tokens,
        longest=max(lengths),
        domains=len(prepared.domains),
    )


def _judged(config: Config, sources: Sources) -> _Counts:
    most = config.training.max_length
    train, validation = (
        [-(-sum(len(turn.text) for turn in each.turns) // CHARACTERS) for each in side]
        for side in (sources.train, sources.validation)
    )
    facts = DataPrepared(
        train_conversations=len(train),
        eval_conversations=len(validation),
        train_tokens=sum(train),
        train_targets=sum(train) // 2,
        eval_targets=sum(validation) // 2,
        domains={},
    )
    # A longer conversation is split.
    examples, held = (sum(-(-tokens // most) for tokens in side) for side in (train, validation))
    return _Counts(
        facts=facts,
        train_examples=examples,
        eval_examples=held,
        eval_tokens=sum(validation),
        longest=min(most, max([*train, *validation])),
        domains=len(sources.domains),
    )


def _premises(config: Config, source: Path | str, counts: _Counts, assumed: Assumed, said: list[str]) -> Premises:
    shape = shape_of(source)
    machine = _card(config, shape.params, assumed, said) or _here(config, assumed, said)
    training = config.training
    return Premises(
        config=config,
        shape=shape,
        bin_tokens=training.bin_tokens,
        recompute=training.gradient_checkpointing,
        longest=counts.longest,
        example_tokens=counts.facts.train_tokens / counts.train_examples,
        train_examples=counts.train_examples,
        domains=counts.domains,
        **machine,
    )


def _card(config: Config, params: int, assumed: Assumed, said: list[str]) -> dict[str, Any] | None:
    """A card that is not here: stated, or the one that a base of this size needs; None plans for this machine."""
    import torch

    training = config.training
    if training.device == "cpu" or (assumed.memory_gb is None and torch.cuda.is_available()):
        return None
    if assumed.memory_gb is None and params < LARGE and training.device == "auto":
        return None
    limit = CARD_BYTES if assumed.memory_gb is None else int(assumed.memory_gb * 1e9)
    if assumed.memory_gb is None:
        speed = "" if assumed.tokens_per_s is not None else " at the speed that the profile assumes for it"
        said.append(
            f"There is no GPU here: planned for a card of {size(limit)}{speed}. --assume-memory-gb and "
            "--assume-tokens-per-s state others."
        )
    else:
        said.append(f"Planned for a card of {size(limit)}, as stated.")
    return {
        "device": "cuda",
        "device_name": "assumed card",
        "dtype": "bfloat16" if training.dtype == "auto" else training.dtype,
        "threads": 1,
        "memory_limit": limit,
    }


def _here(config: Config, assumed: Assumed, said: list[str]) -> dict[str, Any]:
    from engine.training.capacity import memory_limit

    placement = place(config.training, None)
    limit = memory_limit(placement.torch_device)
    if assumed.memory_gb is not None:
        limit = int(assumed.memory_gb * 1e9)
        said.append(f"Planned for {size(limit)} of memory, as stated.")
    return {
        "device": placement.device,
        "device_name": placement.device_name,
        "dtype": placement.dtype,
        "threads": placement.threads,
        "memory_limit": limit,
    }
