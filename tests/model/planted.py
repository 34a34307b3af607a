"""Tasks with a known structure, a model small enough to learn them in seconds, and its training in a few lines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import MistralConfig, MistralForCausalLM

from engine.model.adapters import Adapted, attach
from engine.model.forward import evaluate_bin, forward_loss, valid_tokens
from engine.model.spec import AdapterSpec
from engine.model.tally import RoutingSample
from tests.model.conftest import Bin, Conversation, pack

DOMAINS = ("a", "b", "c", "d")
WORDS = 30
"""Of each domain where domains differ."""
LENGTH = 24
FAITHFUL = 0.9
"""How often a word is followed by the one that the mapping says."""


def by_domain(count: int, seed: int, shares: Sequence[int] = (1, 1, 1, 1)) -> list[Conversation]:
    """Each domain has words of its own and its own mapping from a word to the next: one mapping cannot do all."""
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randperm(WORDS, generator=torch.Generator().manual_seed(100 + domain)) for domain in range(4)]
    order = [domain for domain in range(4) for _ in range(round(count * shares[domain] / sum(shares)))]
    mixed = torch.randperm(len(order), generator=generator).tolist()
    return [chain(maps[order[i]], order[i], order[i] * WORDS, generator) for i in mixed]


def all_alike(count: int, seed: int) -> list[Conversation]:
    """One mapping over all words; the domains are mere labels."""
    generator = torch.Generator().manual_seed(seed)
    mapping = torch.randperm(4 * WORDS, generator=torch.Generator().manual_seed(5))
    return [chain(mapping, number % 4, 0, generator) for number in range(count)]


def chain(mapping: torch.Tensor, domain: int, offset: int, generator: torch.Generator) -> Conversation:
    words = mapping.shape[0]
    word = int(torch.randint(words, (), generator=generator))
    ids = []
    for _ in range(LENGTH):
        ids.append(1 + offset + word)
        faithful = float(torch.rand((), generator=generator)) < FAITHFUL
        word = int(mapping[word]) if faithful else int(torch.randint(words, (), generator=generator))
    return Conversation(ids=tuple(ids), masked=1, domain=domain)


def learner(**choices: object) -> Adapted:
    """A random base whose hidden states share a direction, as those of trained models do."""
    torch.manual_seed(0)
    config = MistralConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        vocab_size=4 * WORDS + 8,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        initializer_range=0.1,
        tie_word_embeddings=False,
    )
    base = MistralForCausalLM(config)
    with torch.no_grad():
        base.model.embed_tokens.weight.add_(torch.randn(32) * 0.15)
    return attach(base, AdapterSpec(rank=8, alpha=16.0, domains=DOMAINS, **choices))  # type: ignore[arg-type]


def train(
    adapted: Adapted, made: Sequence[Conversation], steps: int, *, rate: float, router_rate: float, size: int = 8
) -> None:
    """Steps of `size` conversations in two bins, as the engine takes them."""
    groups = adapted.groups()
    adapters = [*groups["lora_A"].values(), *groups["lora_B"].values()]
    routers = {"params": list(groups["router"].values()), "lr": router_rate}
    optimizer = torch.optim.AdamW([{"params": adapters, "lr": rate}, routers], weight_decay=0.0)
    for step in range(steps):
        picked = [made[(step * size + i) % len(made)] for i in range(size)]
        bins = [pack(picked[: size // 2]), pack(picked[size // 2 :])]
        targets = sum(one.targets for one in bins)
        adapted.routing.begin_step(sum(valid_tokens(one) for one in bins), ramp=min(1.0, (step + 1) / 5))
        for one in bins:
            forward_loss(adapted, one, scale=1 / targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        adapted.routing.end_step()


def validated(adapted: Adapted, packed: Bin) -> tuple[torch.Tensor, RoutingSample]:
    """Usage (layers, experts) on a validation bin, and the sample it is from."""
    evaluate_bin(adapted, packed)
    sample = adapted.routing.sample_evaluation()
    assert sample is not None
    counts = torch.tensor(sample.counts, dtype=torch.float64)
    return counts / counts.sum(-1, keepdim=True), sample
