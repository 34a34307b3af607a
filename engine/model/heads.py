"""From the merged q, k, v projection to the heads attention reads, and back: head norms, if any, and RoPE."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.model.frozen import Frozen
from engine.model.pointwise import Pointwise


def turned(projected: Tensor, cos: Tensor, sin: Tensor, frozen: Frozen, point: Pointwise) -> Tensor:
    """(tokens, outputs of q, k and v) -> (tokens, heads of all, width), queries and keys normed and rotated."""
    heads = projected.view(projected.shape[0], -1, frozen.width)
    if frozen.query_norm is not None and frozen.key_norm is not None:
        query, key, value = apart(heads, frozen)
        query, _ = point.norm(query, frozen.query_norm, frozen.head_norm_eps)
        key, _ = point.norm(key, frozen.key_norm, frozen.head_norm_eps)
        heads = torch.cat((query, key, value), dim=1)
    return point.rotate(heads, cos, sin, frozen.heads + frozen.key_heads)


def turned_back(
    slopes: tuple[Tensor, Tensor, Tensor],
    projected: Tensor,
    cos: Tensor,
    sin: Tensor,
    frozen: Frozen,
    point: Pointwise,
) -> Tensor:
    """Gradients of the heads of q, k and v -> gradient of the projection, (tokens, outputs of all)."""
    back = point.rotate_backward(*slopes, cos, sin)
    if frozen.query_norm is not None and frozen.key_norm is not None:
        heads = projected.view(back.shape)
        norms = (frozen.query_norm, frozen.key_norm)
        found = []
        for slope, raw, weight in zip(apart(back, frozen), apart(heads, frozen), norms, strict=False):
            _, scale = point.norm(raw, weight, frozen.head_norm_eps)
            found.append(point.norm_backward(slope, raw, scale, weight, None))
        back = torch.cat((*found, apart(back, frozen)[2]), dim=1)
    return back.flatten(1)


def apart(heads: Tensor, frozen: Frozen) -> tuple[Tensor, Tensor, Tensor]:
    """(tokens, heads of all, width) -> views of queries, keys and values."""
    query, key, value = heads.split((frozen.heads, frozen.key_heads, frozen.key_heads), dim=1)
    return query, key, value
