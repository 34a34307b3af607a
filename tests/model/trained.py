"""The 12B shape, and what `take_step` works on, for tests that need no run around it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from transformers import MistralConfig

from configs.schema import TrainingConfig
from engine.model.adapters import Adapted
from engine.training.optimizer import build_optimizer


def shape_12b(**choices: Any) -> MistralConfig:
    """That of Mistral Nemo and its children: 12,247,782,400 parameters."""
    shape = {
        "hidden_size": 5120,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 14336,
        "vocab_size": 131072,
        "sliding_window": None,
        "tie_word_embeddings": False,
    }
    return MistralConfig(**{**shape, **choices})


class Trained(NamedTuple):
    """As much of a trainer as a step asks for."""

    adapted: Adapted
    optimizer: torch.optim.Optimizer
    parameters: list[torch.nn.Parameter]
    device: torch.device
    max_grad_norm: float = 1.0


def trained(adapted: Adapted) -> Trained:
    """A model with a new optimizer over its adapters."""
    named = adapted.parameters()
    optimizer = build_optimizer(named, TrainingConfig(base_model="base", dataset="data"))
    return Trained(adapted, optimizer, list(named.values()), adapted.device)
