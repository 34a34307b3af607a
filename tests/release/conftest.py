"""A small trained mixture with a base on disk and validation examples, and the same as a plain LoRA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from engine.data.example import NO_TARGET, Example
from engine.model.adapters import attach
from engine.model.load import load_base
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from engine.release.exporting import Held, Trained

DOMAINS = ("grief & loss", "work/life")


@pytest.fixture(scope="session")
def held() -> Held:
    """16 short conversations over two domains whose names are no folder names."""
    chance = np.random.default_rng(3)
    examples = []
    for number in range(16):
        ids = chance.integers(5, 300, 12 + number % 5).astype(np.int32)
        labels = ids.copy()
        labels[:4] = NO_TARGET
        examples.append(Example(ids=ids, labels=labels, domain_index=number % 2, conversation=number))
    return Held(examples=examples, domains=DOMAINS, bin_tokens=64)


@pytest.fixture
def trained(tiny_base: Path) -> Callable[..., Trained]:
    """Adapters moved from their start by chance, on the shared small base."""

    def make(**choices: object) -> Trained:
        base = load_base(tiny_base, dtype=torch.float32, device=torch.device("cpu"))
        spec = AdapterSpec(**{"rank": 4, "alpha": 8.0, "domains": DOMAINS, **choices})  # type: ignore[arg-type]
        adapted = attach(base, spec)
        normal_routers(adapted, std=0.5)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in adapted.parameters().values():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return Trained(
            adapted=adapted,
            tokenizer=AutoTokenizer.from_pretrained(tiny_base),
            info={"base_model": str(tiny_base), "final_loss": 4.5},
            base_name=str(tiny_base),
            chat_template="ab" * 32,
            title="tiny",
        )

    return make
