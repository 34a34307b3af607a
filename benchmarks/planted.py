"""A task in which domains need different answers, on a small random base, with the engine's own step and evaluation.

Each domain has words of its own and its own mapping from a word to the next, right nine times in ten: what is learnt
for one domain is of no use to the others, and the small rank leaves no room for all of it in one adapter. If a mixture
helps anywhere, it is here. The best possible loss is `FLOOR`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import torch
from transformers import MistralConfig, MistralForCausalLM

from configs.load import demo_dir, load
from engine.data.batches import Steps, make_bins
from engine.data.example import Example
from engine.data.prepare import Prepared
from engine.model.adapters import attach
from engine.model.prototypes import initialise_routers
from engine.model.spec import AdapterSpec
from engine.quality.experts import examine
from engine.training.evaluate import EvalResult, evaluate
from engine.training.experts import keep_centred
from engine.training.optimizer import build_optimizer
from engine.training.pace import Pace
from engine.training.step import take_step
from engine.training.trainer import Trainer
from states.events import ExpertsExamined
from states.schedule import advance, begin, learning_rate

DOMAINS = ("a", "b", "c", "d")
WORDS = 30
"""Of each domain."""
LENGTH = 48
FAITHFUL = 0.9
RANK = 4
"""Of each expert."""
TRAINING, VALIDATION = 1024, 160
"""Conversations of all domains."""
PER_STEP, PASSES, WARMUP = 16, 5, 32
"""320 steps."""
RATE = 5e-3
BIN_TOKENS = 512

_RIGHT = FAITHFUL + (1 - FAITHFUL) / WORDS
FLOOR = -_RIGHT * math.log(_RIGHT) - (1 - _RIGHT) * math.log((1 - FAITHFUL) / WORDS)
"""Nats a word of someone who knows the mappings: 0.65."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One training."""

    start: EvalResult
    end: EvalResult
    usage: list[list[list[float]]]
    """Of every evaluation: (layers, experts)."""
    examined: ExpertsExamined | None


def shape() -> MistralConfig:
    """The base: random, and small enough for seconds."""
    return MistralConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        vocab_size=len(DOMAINS) * WORDS + 8,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        initializer_range=0.1,
        tie_word_embeddings=False,
        sliding_window=None,
    )


def conversations(count: int, seed: int) -> list[Example]:
    """As many of each domain, in turns."""
    chance = torch.Generator().manual_seed(seed)
    maps = [torch.randperm(WORDS, generator=torch.Generator().manual_seed(100 + each)) for each in range(len(DOMAINS))]
    return [_chain(number, maps[number % len(DOMAINS)], number % len(DOMAINS), chance) for number in range(count)]


def _chain(number: int, mapping: torch.Tensor, domain: int, chance: torch.Generator) -> Example:
    word = int(torch.randint(WORDS, (), generator=chance))
    ids = []
    for _ in range(LENGTH):
        ids.append(1 + domain * WORDS + word)
        faithful = float(torch.rand((), generator=chance)) < FAITHFUL
        word = int(mapping[word]) if faithful else int(torch.randint(WORDS, (), generator=chance))
    known = torch.tensor(ids, dtype=torch.int32).numpy()
    labels = known.copy()
    labels[0] = -100
    return Example(ids=known, labels=labels, domain_index=domain, conversation=number)


def train(spec: AdapterSpec, seed: int) -> Outcome:
    """Train adapters of this spec; the seed changes their start, the routers' and the order, not base or data."""
    trainer = _trainer(spec, seed)
    horizon = begin(trainer.plan.planned_steps, WARMUP)
    start = evaluate(trainer, trainer.validation, lambda: False)
    seen = [start]
    while not horizon.done:
        rate = learning_rate(horizon, RATE)
        bins = trainer.ahead.bins(horizon.step, trainer.bin_tokens)
        take_step(trainer, bins, rate=rate, ramp=trainer.balance_ramp(horizon.step))
        horizon = advance(horizon, horizon.total_steps - horizon.step)
        keep_centred(cast("Any", SimpleNamespace(step=horizon.step)), trainer)
        if horizon.step % (horizon.planned_steps // 10) == 0:
            seen.append(evaluate(trainer, trainer.validation, lambda: False))
    examined = examine(
        trainer.adapted,
        trainer.validation,
        step=horizon.step,
        domains=DOMAINS,
        bin_tokens=BIN_TOKENS,
        seed=seed,
        stop=lambda: False,
        assignments=seen[-1].assignments,
    )
    usage = [_shares(each.routing.counts) for each in seen if each.routing is not None]
    return Outcome(start=start, end=seen[-1], usage=usage, examined=examined)


def _trainer(spec: AdapterSpec, seed: int) -> Trainer:
    config = load(
        demo_dir(),
        overrides=(f"training.learning_rate={RATE}", f"training.router_learning_rate={RATE / 10}"),
    )
    examples = conversations(TRAINING, 1)
    prepared = Prepared(
        train=examples,
        validation=conversations(VALIDATION, 2),
        domains=DOMAINS,
        stats=cast("Any", None),
        notes=(),
        digests=(),
    )
    torch.manual_seed(0)
    adapted = attach(MistralForCausalLM(shape()), spec)
    steps = Steps(examples, PER_STEP, seed)
    initialise_routers(adapted, make_bins([one for step in range(8) for one in steps.at(step)], BIN_TOKENS))
    named = adapted.parameters()
    return Trainer(
        config=config,
        adapted=adapted,
        tokenizer=cast("Any", None),
        optimizer=build_optimizer(named, config.training),
        parameters=list(named.values()),
        steps=steps,
        prepared=prepared,
        device=adapted.device,
        bin_tokens=BIN_TOKENS,
        max_grad_norm=config.safety.max_grad_norm,
        pace=Pace(planned_step_s=1.0),
        runtime={},
        plan=cast("Any", SimpleNamespace(planned_steps=PASSES * TRAINING // PER_STEP)),
    )


def _shares(counts: Sequence[Sequence[int]]) -> list[list[float]]:
    return [[count / sum(layer) for count in layer] for layer in counts]
