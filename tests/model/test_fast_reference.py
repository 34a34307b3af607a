"""What the fast path leaves to the reference, and that both say the same."""

from __future__ import annotations

import logging

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from engine.model.adapters import attach
from engine.model.attention import Segments
from engine.model.forward import forward_loss
from engine.model.path import fast_path
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from tests.model.conftest import VOCABULARY, conversations, pack, spread
from tests.model.wide import long_bin, passed


def test_a_conversation_longer_than_the_sliding_window_takes_the_reference_path() -> None:
    config = MistralConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=VOCABULARY, sliding_window=16, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    adapted = attach(MistralForCausalLM(config), AdapterSpec(mode="lora"))
    fast = fast_path(adapted)
    assert fast is not None
    short, long = long_bin((16, 9)), long_bin((17, 9))
    assert fast.takes(Segments.of(short.starts, 25, torch.device("cpu")))
    assert not fast.takes(Segments.of(long.starts, 26, torch.device("cpu")))
    loss = float(forward_loss(adapted, long).detach())
    with adapted.compute.on_reference():
        assert float(forward_loss(adapted, long).detach()) == loss


def test_another_activation_takes_the_reference_path_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, vocab_size=VOCABULARY,
        hidden_act="gelu",
    )  # fmt: skip
    adapted = attach(LlamaForCausalLM(config), AdapterSpec(mode="lora"))
    packed = pack(conversations(3))
    with caplog.at_level(logging.WARNING, logger="stint.model"):
        for _ in range(2):
            assert forward_loss(adapted, packed).requires_grad
    assert [record.getMessage() for record in caplog.records] == [
        "The base model trains on the slower reference path: its activation is gelu."
    ]


def test_scaled_rotary_positions_and_biases_everywhere_are_the_models_own() -> None:
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=VOCABULARY, attention_bias=True, mlp_bias=True,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    adapted = attach(model, AdapterSpec(rank=4, domains=("a", "b", "c")))
    normal_routers(adapted, std=0.5)
    packed = pack(conversations(5))
    with adapted.compute.on_reference():
        loss, wanted = passed(spread(adapted), packed)
    fast_loss, found = passed(adapted, packed)
    assert fast_loss == pytest.approx(loss, rel=1e-6)
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm(), name
