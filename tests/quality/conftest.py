"""A small adapted model over examples as training has them, made without any file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from engine.data.example import NO_TARGET, Example
from engine.model.adapters import Adapted, attach
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from engine.quality.evaluating import Evaluated, Request, evaluate
from engine.quality.evaluation import Part

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


@pytest.fixture(scope="session")
def opened(finished_run: Path) -> tuple[Adapted, Any]:
    """The trained model of a finished run with its tokenizer; shared, so that nobody changes it."""
    from engine.model.routed import open_routed

    return open_routed(finished_run)


@pytest.fixture
def bench(opened: tuple[Adapted, Any], finished_run: Path) -> Callable[..., Any]:
    """Make a bench over what the finished run held out; `settings` as keywords."""
    from engine.quality.bench import Bench, Settings
    from engine.quality.heldout import held_out
    from engine.quality.subject import find_subject

    def make(*, stop: Callable[[], bool] = lambda: False, adapted: Adapted | None = None, **settings: Any) -> Bench:
        subject = find_subject(finished_run)
        chosen = Settings(**{"replies": 6, "max_tokens": 12, **settings})
        return Bench(
            adapted=adapted or opened[0],
            tokenizer=opened[1],
            held=held_out(subject, None, limit=chosen.limit, seed=chosen.seed),
            settings=chosen,
            subject=subject,
            progress=lambda task, done, total: None,
            stop=stop,
        )

    return make


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Callable[..., Evaluated]:
    """Evaluate the finished run in `parts` into this test's folder; `said` collects what it says."""
    said: list[str] = []

    def go(*parts: Part, **choices: Any) -> Evaluated:
        request = Request(**{"model_path": finished_run, "output_dir": tmp_path / "out", "replies": 2, **choices})
        return evaluate(request, lambda task, done, total: None, said.append, parts)

    go.said = said  # type: ignore[attr-defined]
    return go
