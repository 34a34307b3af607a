"""What is kept between forward and backward, byte by byte: the reason why a 12B model needs no recompute."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import MistralConfig, MistralForCausalLM

from engine.model.adapters import Adapted, attach
from engine.model.forward import forward_loss, valid_tokens
from engine.model.prototypes import normal_routers
from engine.model.recompute import enable_recompute
from engine.model.spec import ATTENTION, FFN, AdapterSpec
from tests.model.conftest import VOCABULARY, Bin, Conversation, pack

HIDDEN, INNER, HEADS, KEY_HEADS, WIDTH, LAYERS, RANK = 64, 224, 4, 2, 16, 3, 4


def base() -> MistralForCausalLM:
    torch.manual_seed(0)
    return MistralForCausalLM(
        MistralConfig(
            hidden_size=HIDDEN,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_HEADS,
            head_dim=WIDTH,
            vocab_size=VOCABULARY,
            tie_word_embeddings=False,
        )
    )


def model(**choices: object) -> Adapted:
    adapted = attach(base(), AdapterSpec(rank=RANK, **choices))
    normal_routers(adapted)
    return adapted


def packed_bin() -> Bin:
    return pack([Conversation(ids=tuple(range(1, 1 + n)), masked=n // 2, domain=-1) for n in (40, 23, 37)])


def kept_bytes(weights: nn.Module, compute: Callable[[], torch.Tensor]) -> int:
    """Storage that autograd holds when the forward is done, each counted once, without the model's own."""
    own = {each.untyped_storage().data_ptr() for each in weights.parameters()}
    seen: dict[int, int] = {}
    alive: list[torch.Tensor] = []  # or an address would be used again

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = compute()
    assert result.requires_grad
    return sum(seen.values())


def fast_bytes(adapted: Adapted, packed: Bin) -> int:
    forward_loss(adapted, packed)  # merges the weights
    adapted.routing.begin_step(valid_tokens(packed))
    return kept_bytes(adapted.model, lambda: forward_loss(adapted, packed))


@pytest.mark.parametrize(
    ("choices", "experts", "ranks"),
    [({}, 4, RANK), ({"experts": "private"}, 4, 4 * RANK), ({"mode": "lora"}, 0, RANK)],
    ids=str,
)
def test_the_bytes_kept_are_exactly_those_of_the_design(choices: dict, experts: int, ranks: int) -> None:
    packed = packed_bin()
    tokens, rows = 100, packed.targets
    heads = HEADS + 2 * KEY_HEADS
    stream = 2 * (HIDDEN + 1)  # the layer's input and the residual stream after attention, each with its 1 / rms
    attention = heads * WIDTH + HEADS * WIDTH + HEADS  # q, k, v; output; one log-sum for each head
    every_token = stream + attention + 4 * RANK + 2 * experts
    ffn = 2 * INNER + 3 * ranks
    end = 2 * HIDDEN + 1  # the last norm's input, and the loss's gradient
    floats = LAYERS * tokens * every_token + ((LAYERS - 1) * tokens + rows) * ffn + rows * end
    assert fast_bytes(model(**choices), packed) == 4 * floats


def test_recompute_keeps_the_input_of_each_layer_only() -> None:
    adapted, packed = model(), packed_bin()
    enable_recompute(adapted)
    assert fast_bytes(adapted, packed) == 4 * (LAYERS * 100 * HIDDEN + packed.targets * (2 * HIDDEN + 1))


def test_it_is_less_than_half_of_what_transformers_with_peft_keep() -> None:
    from peft import LoraConfig, get_peft_model

    packed = packed_bin()
    config = LoraConfig(
        r=RANK, lora_alpha=8, lora_dropout=0.0, target_modules=[*ATTENTION, *FFN], task_type="CAUSAL_LM"
    )
    peft = get_peft_model(base(), config)

    def theirs() -> torch.Tensor:
        decoder = peft.base_model.model.model  # without its head, which keeps the logits as well
        inputs = {"input_ids": packed.input_ids[None], "position_ids": packed.position_ids[None]}
        return decoder(**inputs, use_cache=False).last_hidden_state

    assert fast_bytes(model(mode="lora"), packed) < 0.5 * kept_bytes(peft, theirs)
    assert fast_bytes(model(), packed) < 0.5 * kept_bytes(peft, theirs)


def test_at_the_12b_shape_a_token_of_a_layer_takes_96_kib() -> None:
    """The same sum in bfloat16; the log-sums, scales and gates in float32."""
    hidden, inner, heads, key_heads, width, rank, experts = 5120, 14336, 32, 8, 128, 16, 4
    half = 2 * hidden + (2 * heads + 2 * key_heads) * width + 2 * inner + 7 * rank
    single = 2 + heads + 2 * experts
    assert 96.0 <= (2 * half + 4 * single) / 1024 <= 96.5


def test_the_reference_is_what_it_is_compared_with() -> None:
    adapted, packed = model(), packed_bin()
    fast = fast_bytes(adapted, packed)
    with adapted.compute.on_reference():
        adapted.routing.begin_step(valid_tokens(packed))
        assert kept_bytes(adapted.model, lambda: forward_loss(adapted, packed)) > 1.8 * fast
