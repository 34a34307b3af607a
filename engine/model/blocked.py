"""Causal attention of one conversation on a CPU, a block of queries at a time, and its gradients.

torch's own CPU kernel computes, in backward, every score that the mask then removes. Here a block of queries meets only
the keys up to its own end, which halves the work; the scores of a block are small enough to stay in the cache and are
formed again in backward. Heads that share keys lie side by side as rows of one product. Measured on one core, forward
and backward, heads 64 wide: 10.1 against 12.8 microseconds a token at 270 tokens, 16.9 against 23.9 at 512.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

SHORTEST = 128
"""Below this torch's kernel is quicker."""

_BLOCK = 64


def blocked(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """query: (tokens, heads, width), key and value: (tokens, key heads, width); returns (tokens, heads, width)."""
    groups = key.shape[1]
    rows = _rows(query, groups) * scale
    keys, values = key.permute(1, 2, 0), value.transpose(0, 1)
    out = torch.empty_like(rows)
    for part, stop, share in _blocks(query, groups):
        out[:, part] = torch.bmm(_shares(rows[:, part], keys, stop, share), values[:, :stop])
    return _heads(out, query)


def blocked_backward(
    slope: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, of their shapes, from that of the output."""
    groups = key.shape[1]
    rows, slopes = _rows(query, groups) * scale, _rows(slope, groups)
    keys, values = key.transpose(0, 1), value.permute(1, 2, 0)
    of_rows = torch.empty_like(rows)
    of_keys, of_values = (torch.zeros(keys.shape, dtype=rows.dtype, device=rows.device) for _ in range(2))
    for part, stop, share in _blocks(query, groups):
        shares = _shares(rows[:, part], keys.transpose(1, 2), stop, share)
        arriving = torch.bmm(slopes[:, part], values[:, :, :stop])
        of_scores = torch._softmax_backward_data(arriving, shares, -1, shares.dtype)
        of_rows[:, part] = torch.bmm(of_scores, keys[:, :stop])
        of_keys[:, :stop].baddbmm_(of_scores.transpose(1, 2), rows[:, part])
        of_values[:, :stop].baddbmm_(shares.transpose(1, 2), slopes[:, part])
    return _heads(of_rows.mul_(scale), query), of_keys.transpose(0, 1), of_values.transpose(0, 1)


def _shares(rows: Tensor, keys: Tensor, stop: int, share: int) -> Tensor:
    """Attention weights (key heads, rows of the block, keys up to `stop`) of a block that ends there."""
    scores = torch.bmm(rows, keys[:, :, :stop])
    own = rows.shape[1] // share
    scores[:, :, stop - own :] += _mask(own, share, rows.dtype)
    return scores.softmax(-1)


def _blocks(query: Tensor, groups: int) -> Iterator[tuple[slice, int, int]]:
    """Each block's rows, the tokens up to its end, and how many heads share a key."""
    tokens, share = query.shape[0], query.shape[1] // groups
    for start in range(0, tokens, _BLOCK):
        stop = min(start + _BLOCK, tokens)
        yield slice(start * share, stop * share), stop, share


def _rows(heads: Tensor, groups: int) -> Tensor:
    """(tokens, heads, width) -> (key heads, tokens * heads that share one, width), token by token."""
    tokens, _, width = heads.shape
    return heads.view(tokens, groups, -1, width).transpose(0, 1).reshape(groups, -1, width)


def _heads(rows: Tensor, like: Tensor) -> Tensor:
    """The way back from `_rows`, a view."""
    return rows.view(rows.shape[0], like.shape[0], -1, like.shape[2]).transpose(0, 1).reshape(like.shape)


@lru_cache(maxsize=256)
def _mask(tokens: int, share: int, dtype: torch.dtype) -> Tensor:
    """(tokens * share, tokens): minus infinity where a key comes after the query."""
    return torch.full((tokens, tokens), float("-inf"), dtype=dtype).triu_(1).repeat_interleave(share, 0)
