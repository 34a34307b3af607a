"""Bins and a model large enough that every kernel of the fast path takes part."""

from __future__ import annotations

import torch
from transformers import MistralConfig, MistralForCausalLM

from engine.model.adapters import Adapted, attach
from engine.model.forward import forward_loss, valid_tokens
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from tests.model.conftest import VOCABULARY, Bin, Conversation, pack, spread


def long_bin(lengths: tuple[int, ...], seed: int = 0) -> Bin:
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(1, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
    return pack([Conversation(ids=tuple(ids), masked=len(ids) // 3, domain=i % 3) for i, ids in enumerate(rows)])


def wide_model(**choices: object) -> Adapted:
    """Large enough for oneDNN's products, even bins and attention in blocks."""
    torch.manual_seed(0)
    config = MistralConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
    )
    adapted = attach(MistralForCausalLM(config), AdapterSpec(domains=("a", "b", "c"), balance_weight=0.5, **choices))
    normal_routers(adapted, std=0.2)
    return spread(adapted, size=0.02)


def passed(adapted: Adapted, packed: Bin) -> tuple[float, dict[str, torch.Tensor]]:
    for parameter in adapted.parameters().values():
        parameter.grad = None
    adapted.routing.begin_step(valid_tokens(packed))
    loss = forward_loss(adapted, packed, scale=1 / packed.targets)
    loss.backward()
    return float(loss.detach()), {name: p.grad.clone() for name, p in adapted.parameters().items()}
