"""Steps and evaluations on a CUDA device that is not there: nothing lies on the wrong device, nothing is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MistralForCausalLM, PreTrainedModel

from engine.data.batches import Bin, make_bins
from engine.data.example import Example
from engine.model.adapters import attach
from engine.model.attention import Kernel, kernel_for
from engine.model.forward import evaluate_bin
from engine.model.prototypes import normal_routers
from engine.model.recompute import enable_recompute
from engine.model.spec import AdapterSpec
from engine.training.step import take_step
from tests.model.absent_card import CARD, USABLE, Card, a_card
from tests.model.conftest import FAMILIES, VOCABULARY, tiny
from tests.model.trained import Trained, shape_12b, trained

pytestmark = [
    pytest.mark.skipif(not USABLE, reason="needs a torch that is built with CUDA, and no device; see test_fast_gpu.py"),
    pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor"),
]

CHOICES = [{}, {"mode": "lora"}, {"experts": "private"}, {"top_k": 1}, {"recompute": True}]


@pytest.fixture
def card() -> Iterator[Card]:
    with a_card() as made:
        yield made


def bins(seed: int = 0) -> list[Bin]:
    chance = np.random.default_rng(seed)
    rows = [chance.integers(1, VOCABULARY, size=size).astype(np.int32) for size in (30, 41, 9, 55)]
    return make_bins(
        [Example(ids=ids, labels=ids, domain_index=n % 2, conversation=n) for n, ids in enumerate(rows)], 96
    )


def on_card(family: str, dtype: torch.dtype = torch.bfloat16, **choices: Any) -> Trained:
    return adapted_on_card(tiny(family).to(dtype).to(CARD), **choices)


def adapted_on_card(model: PreTrainedModel, *, recompute: bool = False, **choices: Any) -> Trained:
    adapted = attach(model, AdapterSpec(domains=("a", "b"), **choices))
    normal_routers(adapted, std=0.02)
    if recompute:
        enable_recompute(adapted)
    return trained(adapted)


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_steps_stay_on_the_card_and_never_wait_for_it(card: Card, choices: dict[str, Any]) -> None:
    trainer = on_card("mistral", **choices)
    assert kernel_for(torch.empty(4, 4, 16, dtype=torch.bfloat16, device=CARD)) is Kernel.VARLEN
    card.waits.clear()
    for seed in range(2):
        stats = take_step(trainer, bins(seed), rate=1e-4, ramp=1.0)  # type: ignore[arg-type]
        trainer.adapted.routing.sample_later()
    assert card.waits == []
    assert stats.device_s == 0.001
    assert all(state["exp_avg"].device == CARD for state in trainer.optimizer.state.values())
    assert len(trainer.optimizer.state) == len(trainer.parameters)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_every_family_steps_and_is_evaluated(card: Card, family: str, dtype: torch.dtype) -> None:
    trainer = on_card(family, dtype)
    if dtype is torch.bfloat16:  # in float32 attention's backward asks torch's own engine, which wants a device
        take_step(trainer, bins(), rate=1e-4, ramp=1.0)  # type: ignore[arg-type]
    for packed in bins():
        card.waits.clear()
        scores = evaluate_bin(trainer.adapted, packed)
        assert int(scores.targets.sum()) == packed.targets
        # The losses, and what the routers chose.
        assert len(card.waits) == 2


def test_a_step_of_the_12b_shape(card: Card) -> None:
    with torch.device("meta"):
        model = MistralForCausalLM(shape_12b()).to(torch.bfloat16)
    trainer = adapted_on_card(model.to_empty(device=CARD), rank=64, alpha=128.0)
    ids = np.ones(512, dtype=np.int32)
    step = [Example(ids=ids, labels=ids, domain_index=n % 2, conversation=n) for n in range(32)]
    packed = make_bins(step, 8192)
    card.waits.clear()
    assert take_step(trainer, packed, rate=1e-4, ramp=1.0).tokens == 2 * 8192  # type: ignore[arg-type]
    assert card.waits == []
    assert sum(parameter.numel() for parameter in model.parameters()) > 12e9


def test_what_lies_on_the_wrong_device_and_what_waits_is_found(card: Card) -> None:
    there = torch.ones(3, device=CARD)
    with pytest.raises(RuntimeError, match="at least two devices"):
        there + torch.ones(3)
    card.waits.clear()
    there.sum().item()
    assert len(card.waits) == 1
