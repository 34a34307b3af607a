"""The numbers in the plan are exact, also for the model that no test machine can hold."""

from __future__ import annotations

import pytest
import torch
from transformers import MistralForCausalLM

from engine.model.accounting import parameter_counts
from engine.model.adapters import attach
from engine.model.spec import AdapterSpec
from tests.model.trained import shape_12b


def at_12b(**choices: object):
    with torch.device("meta"):
        model = MistralForCausalLM(shape_12b())
    return parameter_counts(attach(model, AdapterSpec(**choices)))


def test_the_12b_shape_trains_exactly_122_716_160_of_12_247_782_400() -> None:
    counts = at_12b()
    assert counts.trainable == 122_716_160
    assert counts.base == 12_247_782_400
    assert counts.share == pytest.approx(0.01002, abs=1e-5)
    assert counts.routers == 40 * 4 * 5120
    assert counts.attention + counts.experts + counts.routers == counts.trainable


@pytest.mark.parametrize(
    ("choices", "trainable"), [({"mode": "lora"}, 57_016_320), ({"experts": "private"}, 169_902_080)]
)
def test_the_other_forms_at_the_12b_shape(choices: dict[str, object], trainable: int) -> None:
    assert at_12b(**choices).trainable == trainable


def test_a_tied_head_is_counted_once(build) -> None:
    adapted = build("qwen3")
    counts = parameter_counts(adapted)
    assert counts.base == adapted.model.num_parameters() - counts.trainable
    assert counts.trainable == sum(p.numel() for p in adapted.model.parameters() if p.requires_grad)
