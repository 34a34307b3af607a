"""How large plain LoRA must be to train as many values as a mixture: counted on models without memory."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from engine.model.accounting import parameter_counts
from engine.model.adapters import attach
from engine.model.spec import AdapterMode, AdapterSpec


def trainable(config: PretrainedConfig, spec: AdapterSpec) -> int:
    """Values that `spec` trains on a base of this shape."""
    with torch.device("meta"):
        return parameter_counts(attach(AutoModelForCausalLM.from_config(config), spec)).trainable


def equal_rank(base: Path | PretrainedConfig, mixture: AdapterSpec | None = None) -> int:
    """The rank at which plain LoRA comes nearest to a mixture, by default four experts of rank 16 with a shared A."""
    config = AutoConfig.from_pretrained(base) if isinstance(base, Path) else base
    one = trainable(config, AdapterSpec(mode=AdapterMode.LORA, rank=1))
    return round(trainable(config, mixture or AdapterSpec()) / one)
