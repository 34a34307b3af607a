"""Which bases the fast path takes, and what is said of the others."""

from __future__ import annotations

import logging

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, GemmaConfig, GemmaForCausalLM, PhiConfig, PhiForCausalLM

from configs.errors import ConfigError
from engine.model.adapters import attach
from engine.model.forward import forward_loss, valid_tokens
from engine.model.path import fast_path
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from tests.model.conftest import VOCABULARY, conversations, pack, spread, tiny

SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": VOCABULARY, "max_position_embeddings": 256,
}  # fmt: skip
SPEC = AdapterSpec(rank=4, domains=("a", "b", "c"))


@pytest.mark.parametrize(
    ("family", "config"),
    [
        (GemmaForCausalLM, GemmaConfig(**SHAPE, num_key_value_heads=2, head_dim=16)),
        (Gemma3ForCausalLM, Gemma3TextConfig(**SHAPE, num_key_value_heads=2, head_dim=16)),
    ],
    ids=["gemma", "gemma3"],
)
def test_a_base_of_another_shape_trains_on_the_reference_path_and_says_so_once(
    family: type, config: object, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    adapted = attach(family(config), SPEC)
    normal_routers(adapted)
    packed = pack(conversations(3))
    with caplog.at_level(logging.WARNING, logger="stint.model"):
        for _ in range(2):
            adapted.routing.begin_step(valid_tokens(packed))
            forward_loss(adapted, packed, scale=1 / packed.targets).backward()
    assert fast_path(adapted) is None
    assert [record.getMessage() for record in caplog.records if record.name == "stint.model"] == [
        f"The base model trains on the slower reference path: its architecture is {family.__name__}."
    ]
    moved = [name for name, p in adapted.parameters().items() if p.grad is not None and bool(p.grad.any())]
    assert any("lora_B" in name for name in moved)
    assert any("router" in name for name in moved)


def test_a_base_without_the_linears_that_adapters_go_on_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"PhiForCausalLM without a linear .*o_proj"):
        attach(PhiForCausalLM(PhiConfig(**SHAPE, bos_token_id=1, eos_token_id=1)), SPEC)


def test_qwen2_with_its_attention_biases_takes_the_fast_path_and_equals_the_reference() -> None:
    model = tiny("qwen2")
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.5)
    adapted = spread(attach(model, SPEC))
    normal_routers(adapted, std=0.5)
    assert fast_path(adapted) is not None
    packed = pack(conversations(5))
    found = []
    for reference in (True, False):
        for parameter in adapted.parameters().values():
            parameter.grad = None
        adapted.compute.reference = reference
        adapted.routing.begin_step(valid_tokens(packed))
        loss = forward_loss(adapted, packed, scale=1 / packed.targets)
        loss.backward()
        found.append((float(loss.detach()), {n: p.grad.clone() for n, p in adapted.parameters().items()}))
    (loss, wanted), (fast_loss, gradients) = found
    assert fast_loss == pytest.approx(loss, rel=1e-6)
    for name, gradient in wanted.items():
        assert (gradients[name] - gradient).norm() <= 1e-5 * gradient.norm(), name
