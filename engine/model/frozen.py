"""The frozen weights of one decoder layer as the fast path multiplies by them: q, k, v in one, gate and up in one.

The merged matrices are the base's own storage, laid out anew: the linears of the model become views of them, so that
nothing is held twice and the reference path, generation and export see the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from engine.model.adapters import AdaptedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """Weights (out, in), biases (out,) or None, norm weights, and the numbers that go with them."""

    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None
    norm: Tensor
    norm_eps: float
    ffn_norm: Tensor
    ffn_norm_eps: float
    query_norm: Tensor | None
    """(width,) where queries and keys are normed by head before they are rotated, as in Qwen3."""
    key_norm: Tensor | None
    head_norm_eps: float
    heads: int
    key_heads: int
    width: int
    scale: float
    """Of the attention scores."""


def freeze(layer: AdaptedLayer) -> Frozen:
    """Merge a layer's weights in place and name the rest."""
    attention = layer.block.get_submodule("self_attn")
    query, key, value = (layer.attention[name].base for name in ("q_proj", "k_proj", "v_proj"))
    out = layer.attention["o_proj"].base
    gate, up, down = (layer.ffn[name].base for name in ("gate_proj", "up_proj", "down_proj"))
    first, second = (layer.block.get_submodule(name) for name in ("input_layernorm", "post_attention_layernorm"))
    query_norm, key_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    width = int(attention.head_dim)  # type: ignore[arg-type]
    return Frozen(
        qkv=_merged([query, key, value]),
        qkv_bias=_biases([query, key, value]),
        out=out.weight.detach(),
        out_bias=_biases([out]),
        gate_up=_merged([gate, up]),
        gate_up_bias=_biases([gate, up]),
        down=down.weight.detach(),
        down_bias=_biases([down]),
        norm=_weight(first),
        norm_eps=_eps(first),
        ffn_norm=_weight(second),
        ffn_norm_eps=_eps(second),
        query_norm=None if query_norm is None else _weight(query_norm),
        key_norm=None if key_norm is None else _weight(key_norm),
        head_norm_eps=0.0 if query_norm is None else _eps(query_norm),
        heads=query.out_features // width,
        key_heads=key.out_features // width,
        width=width,
        scale=float(attention.scaling),  # type: ignore[arg-type]
    )


def still_merged(frozen: Frozen, layer: AdaptedLayer) -> bool:
    """Whether the model's linears are still views of the merged weights: moving or casting a model gives it others."""
    linears = {name: linear.base.weight for name, linear in (layer.attention | layer.ffn).items()}
    pairs = (
        (frozen.qkv, linears["q_proj"]),
        (frozen.out, linears["o_proj"]),
        (frozen.gate_up, linears["gate_proj"]),
        (frozen.down, linears["down_proj"]),
    )
    return all(ours.data_ptr() == theirs.data_ptr() and ours.dtype == theirs.dtype for ours, theirs in pairs)


@torch.no_grad()
def _merged(linears: Sequence[nn.Linear]) -> Tensor:
    whole = torch.cat([linear.weight for linear in linears])
    for linear, part in zip(linears, whole.split([linear.out_features for linear in linears]), strict=True):
        linear.weight.data = part
    return whole


def _biases(linears: Sequence[nn.Linear]) -> Tensor | None:
    if all(linear.bias is None for linear in linears):
        return None
    given = (
        linear.weight.new_zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
        for linear in linears
    )
    return torch.cat(list(given))


def _weight(norm: nn.Module) -> Tensor:
    return cast("Tensor", norm.weight).detach()


def _eps(norm: nn.Module) -> float:
    return float(norm.variance_epsilon)  # type: ignore[arg-type]
