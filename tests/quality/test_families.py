"""Generation with a cache on every family of bases, with sliding windows, and without experts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from engine.model.adapters import attach
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from engine.quality.decoding import decode
from engine.quality.sampling import Sampling

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
BASES = {
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPE, head_dim=16, sliding_window=None)),
    "mistral, window": lambda: MistralForCausalLM(MistralConfig(**SHAPE, head_dim=16, sliding_window=12)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "qwen2, window": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=10, max_window_layers=1)
    ),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=16)),
}
END = 7


def greedy(model: PreTrainedModel, prompt: list[int], max_tokens: int) -> list[int]:
    """Without a cache and alone."""
    ids: list[int] = []
    with torch.no_grad():
        while len(ids) < max_tokens:
            token = int(model(torch.tensor([prompt + ids]), use_cache=False).logits[0, -1].argmax())
            if token == END:
                break
            ids.append(token)
    return ids


@pytest.mark.parametrize("mode", ["moe", "lora"])
@pytest.mark.parametrize("family", BASES)
def test_a_padded_batch_with_a_cache_writes_what_each_prompt_does_without(family: str, mode: str) -> None:
    torch.manual_seed(0)
    adapted = attach(BASES[family](), AdapterSpec(mode=mode, rank=4, alpha=8.0, domains=("a", "b")))
    normal_routers(adapted, std=0.5)
    with torch.no_grad():
        for parameter in adapted.parameters().values():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    prompts = [torch.randint(8, 128, (length,)).tolist() for length in (5, 9, 23, 40, 3)]
    made = decode(adapted, prompts, ends={END}, max_tokens=14, sampling=Sampling())
    assert [list(each.ids) for each in made] == [greedy(adapted.model, prompt, 14) for prompt in prompts]
    assert [len(each.counts) for each in made] == [4 if mode == "moe" else 0] * 5
