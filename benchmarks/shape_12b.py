"""The 12B job as shapes and arithmetic: the model, its products, the lengths of conversations, what a token costs.

`WAYFARER` is the base of the 12B preset. `TINY` has its proportions and runs on any CPU in seconds, for the tests.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from peer_work import lengths

from engine.data.example import Example

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PEAK_FLOPS = {"bfloat16": 989e12, "float8": 1979e12}
"""Of an H100 SXM or H200 in its data sheet, dense."""
PEAK_DEVICES = ("H100", "H200")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A Mistral-shaped decoder and the conversations it learns from."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    width: int
    """Of a head."""
    vocabulary: int
    longest: int
    """Tokens of the longest conversation."""

    @property
    def products(self) -> dict[str, tuple[int, int, int]]:
        """The merged products by name: outputs, inputs, and how often a token goes through each."""
        merged = (self.heads + 2 * self.key_heads) * self.width
        return {
            "q,k,v": (merged, self.hidden, self.layers),
            "output": (self.hidden, self.heads * self.width, self.layers),
            "gate,up": (2 * self.inner, self.hidden, self.layers),
            "down": (self.hidden, self.inner, self.layers),
            "head": (self.vocabulary, self.hidden, 1),
        }

    @property
    def layer_weights(self) -> int:
        """Values of all layers' frozen products."""
        return sum(out * into * times for name, (out, into, times) in self.products.items() if name != "head")

    def flops(self, examples: Sequence[Example], trained: int) -> float:
        """Needed floating-point operations of one pass over `examples`, forward and backward, nothing computed twice.

        The base is frozen, so backward has one product for each of forward; adapters have two. Attention counts three
        times its forward, over each token's own past; the head only where there is a target.
        """
        total = sum(one.tokens for one in examples)
        targets = sum(one.targets for one in examples)
        pairs = sum(one.tokens * (one.tokens + 1) / 2 for one in examples)
        base = 4 * self.layer_weights * total + 4 * self.vocabulary * self.hidden * targets
        return base + 6 * trained * total + 3 * 4 * pairs * self.heads * self.width * self.layers


WAYFARER = Shape(hidden=5120, inner=14336, layers=40, heads=32, key_heads=8, width=128, vocabulary=131072, longest=2048)
TINY = Shape(hidden=64, inner=96, layers=2, heads=4, key_heads=2, width=16, vocabulary=512, longest=64)


def random_model(shape: Shape, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """Random weights, made where they stay: speed depends on shapes and on the data being no zeros."""
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.width,
        max_position_embeddings=8192,
        sliding_window=None,
        tie_word_embeddings=False,
        use_cache=False,
    )
    torch.manual_seed(0)
    with device:
        model: PreTrainedModel = MistralForCausalLM._from_config(config, dtype=dtype)
    return model


def conversations(shape: Shape, count: int) -> list[Example]:
    """Random tokens at the job's lengths, in mixed order; two thirds are targets, in turns."""
    chance, numbers = random.Random(0), np.random.default_rng(0)
    made = []
    for index, length in enumerate(chance.sample(found := lengths(count, shape.longest), k=len(found))):
        ids = numbers.integers(4, shape.vocabulary, length, dtype=np.int32)
        labels = np.where(np.arange(length) // 20 % 3 == 0, np.int32(-100), ids)
        made.append(Example(ids=ids, labels=labels, domain_index=-1, conversation=index))
    return made


def peak(device: str, kind: str) -> float | None:
    """The data sheet's figure for `kind` on a device of this name; None where it is not known here."""
    return PEAK_FLOPS[kind] if any(name in device for name in PEAK_DEVICES) else None
