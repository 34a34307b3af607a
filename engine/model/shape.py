"""Which architectures the adapters fit: a decoder of the Mistral, Llama and Qwen family, found by its linears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from configs.errors import ConfigError
from engine.model.spec import ATTENTION, FFN

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_HEAD_CHANGES = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""Configuration keys of families whose output projection does more than multiply; the chunked loss would be wrong."""

_KNOWN = "Supported are decoders shaped like Mistral, Llama, Qwen2 and Qwen3."


def blocks(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder layers of a supported model, in order.

    Raises:
        ConfigError: a linear is missing or the head is not a plain projection; the message names it.
    """
    name = type(model).__name__
    for key in _HEAD_CHANGES:
        if getattr(model.config, key, None) not in (None, 1.0):
            raise ConfigError(f"The base model is a {name} that sets {key}, which Stint does not compute. {_KNOWN}")
    try:
        found = list(model.get_submodule("model.layers").children())
    except AttributeError:
        found = []
    if not found:
        raise ConfigError(f"The base model is a {name} without model.layers. {_KNOWN}")
    expected = [f"self_attn.{linear}" for linear in ATTENTION] + [f"mlp.{linear}" for linear in FFN]
    for index, block in enumerate(found):
        modules = dict(block.named_modules())
        for path in expected:
            if not isinstance(modules.get(path), nn.Linear):
                raise ConfigError(f"The base model is a {name} without a linear model.layers.{index}.{path}. {_KNOWN}")
        if not hasattr(modules["mlp"], "act_fn"):
            raise ConfigError(f"The base model is a {name} without model.layers.{index}.mlp.act_fn. {_KNOWN}")
    if not isinstance(model.get_output_embeddings(), nn.Linear):
        raise ConfigError(f"The base model is a {name} without an output projection. {_KNOWN}")
    return found
