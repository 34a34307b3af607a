"""A small adapted model over examples as training has them, made without any file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from engine.data.example import NO_TARGET, Example
from engine.model.adapters import Adapted, attach
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec

VOCABULARY = 64
DOMAINS = ("anxiety", "grief", "work")


def example(number: int, domain: int, length: int) -> Example:
    generator = np.random.default_rng(number)
    ids = generator.integers(1, VOCABULARY, length).astype(np.int32)
    labels = ids.copy()
    labels[:3] = NO_TARGET
    return Example(ids=ids, labels=labels, domain_index=domain, conversation=number)


@pytest.fixture
def examples() -> list[Example]:
    """30 conversations over three domains."""
    return [example(number, number % 3, 8 + number % 5) for number in range(30)]


@pytest.fixture
def adapted() -> Adapted:
    """Two layers, three experts, top-2, every parameter moved from its start."""
    torch.manual_seed(0)
    config = MistralConfig(
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=12,
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    made = attach(MistralForCausalLM(config), AdapterSpec(rank=4, alpha=8.0, num_experts=3, domains=DOMAINS))
    normal_routers(made, std=0.5)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return made
