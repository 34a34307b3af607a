"""The numbers of a base model that its memory and its adapters' size follow from, read without loading any weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from configs.schema import MoeConfig
from engine.plan.parameters import base_parameters
from engine.plan.throughput import REFERENCE_PARAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseShape:
    """A decoder of the Mistral, Llama and Qwen family."""

    params: int
    layers: int
    hidden: int
    inner: int
    """Width of the feed-forward block."""
    heads: int
    key_heads: int
    width: int
    """Of a head."""
    vocabulary: int
    known: bool = True
    """Read from the base's own files; else judged by its name."""


REFERENCE = BaseShape(
    params=REFERENCE_PARAMS,
    layers=40,
    hidden=5120,
    inner=14336,
    heads=32,
    key_heads=8,
    width=128,
    vocabulary=131_072,
    known=False,
)
"""Wayfarer-2-12B."""

_NEAR = 0.05
"""A name gives its billions rounded: within this share of 12.2 it is the reference."""


def shape_of(source: Path | str) -> BaseShape:
    """Return the shape of a folder by its config.json; of a hub id, the reference in proportion to its name's size."""
    params = base_parameters(source)
    if isinstance(source, Path):
        read = _read(source / "config.json", params)
        if read is not None:
            return read
    if abs(params / REFERENCE_PARAMS - 1.0) < _NEAR:
        return REFERENCE
    # Values grow with width squared times depth: each takes the cube root of the factor.
    side = (params / REFERENCE_PARAMS) ** (1 / 3)
    scaled = {name: max(1, round(getattr(REFERENCE, name) * side)) for name in ("layers", "hidden", "inner", "heads")}
    return replace(REFERENCE, params=params, key_heads=max(1, scaled["heads"] // 4), **scaled)


def trainable(shape: BaseShape, moe: MoeConfig) -> int:
    """Return the number of trained values: what `engine.model.accounting` counts once the adapters are there."""
    rank, routed = moe.lora_rank, moe.adapter_mode == "moe"
    experts = moe.num_experts if routed else 1
    downs = experts if routed and moe.expert_mode == "private" else 1
    queries, keys = shape.heads * shape.width, shape.key_heads * shape.width
    attention = rank * (2 * (shape.hidden + queries) + 2 * (shape.hidden + keys))
    wide = rank * (downs * shape.hidden + experts * shape.inner)
    narrow = rank * (downs * shape.inner + experts * shape.hidden)
    router = experts * shape.hidden if routed else 0
    return shape.layers * (attention + 2 * wide + narrow + router)


def _read(path: Path, params: int) -> BaseShape | None:
    """None where the file does not say enough; whether it can be used at all is judged elsewhere."""
    try:
        config: Any = orjson.loads(path.read_bytes())
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return BaseShape(
            params=params,
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            inner=int(config["intermediate_size"]),
            heads=heads,
            key_heads=int(config.get("num_key_value_heads") or heads),
            width=int(config.get("head_dim") or hidden // heads),
            vocabulary=int(config["vocab_size"]),
        )
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
        return None
