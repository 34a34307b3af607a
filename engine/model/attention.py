"""Causal attention inside each conversation of a packed bin: forward, and the backward that a hand-written node calls.

On a CUDA device the flash kernel behind `torch.nn.attention.varlen` takes the whole bin at once. On a CPU one
conversation is taken at a time, so that no mask of tokens^2 exists: short ones by the kernel behind
`scaled_dot_product_attention`, longer ones in blocks (`blocked.py`). All read grouped heads as they are. What none of
them takes (float32 on CUDA, heads wider than 256) goes conversation by conversation through the public function and is
computed again in backward. `flex_attention` is no way out: it has no backward on a CPU, and without a compiler it forms
every score of the bin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional

from engine.model.blocked import SHORTEST, blocked, blocked_backward

_flash_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_cpu_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
_flash_varlen = torch.ops.aten._flash_attention_forward
_flash_varlen_backward = torch.ops.aten._flash_attention_backward

_WIDEST_HEAD = 256
"""The flash kernels' limit, and they want a multiple of 8."""


class Kernel(Enum):
    """What computes the attention."""

    VARLEN = "varlen"
    CPU = "cpu"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Where the conversations of a bin lie. Known on the host, so that no kernel waits for the device to learn it."""

    bounds: tuple[int, ...]
    """(conversations + 1,): first token of each, then the end; what follows the last one counts as one more."""
    offsets: Tensor
    """(conversations + 1,) int32: the same on the device."""

    @classmethod
    def of(cls, starts: Tensor, tokens: int, device: torch.device) -> Segments:
        """`starts` as a bin has them; `tokens` its length, padding included."""
        bounds = [int(start) for start in starts.tolist()]
        if bounds[-1] < tokens:
            bounds.append(tokens)
        offsets = torch.tensor(bounds, dtype=torch.int32).to(device, non_blocking=True)
        return cls(bounds=tuple(bounds), offsets=offsets)

    @property
    def longest(self) -> int:
        """Tokens of the longest conversation."""
        return max((stop - start for start, stop in self), default=0)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.bounds[:-1], self.bounds[1:], strict=True)


def kernel_for(query: Tensor) -> Kernel:
    """The kernel that takes queries of this device, dtype and head width."""
    if query.device.type == "cpu":
        return Kernel.CPU
    half = query.dtype in (torch.bfloat16, torch.float16)
    fits = query.shape[-1] <= _WIDEST_HEAD and query.shape[-1] % 8 == 0
    return Kernel.VARLEN if query.device.type == "cuda" and half and fits else Kernel.PLAIN


def attend(query: Tensor, key: Tensor, value: Tensor, segments: Segments, scale: float) -> tuple[Tensor, list[Tensor]]:
    """Attention output (tokens, heads, width) and the small tensors that `attend_backward` wants with it.

    query: (tokens, heads, width); key, value: (tokens, key heads, width), views with a contiguous last dimension.
    Not differentiable by itself.
    """
    kernel = kernel_for(query)
    if kernel is Kernel.VARLEN:
        longest = segments.longest
        out, *kept, _ = _flash_varlen(
            query, key, value, segments.offsets, segments.offsets, longest, longest, 0.0, True, False, scale=scale
        )
        return out, kept
    out, kept = torch.empty(query.shape, dtype=query.dtype, device=query.device), []
    for start, stop in segments:
        own = query[start:stop], key[start:stop], value[start:stop]
        if kernel is Kernel.CPU and _in_blocks(own[0]):
            out[start:stop] = blocked(*own, scale)
            continue
        parts = [_heads_first(each) for each in own]
        if kernel is Kernel.CPU:
            piece, norm = _flash_cpu(*parts, 0.0, True, scale=scale)
            kept.append(norm)
        else:
            piece = _plain(parts, scale)
        out[start:stop] = piece[0].transpose(0, 1)
    return out, kept


def attend_backward(
    slope: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    kept: list[Tensor],
    segments: Segments,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, of their shapes, from the gradient `slope` of `out`."""
    kernel = kernel_for(query)
    if kernel is Kernel.VARLEN:
        norm, state, unused = kept
        longest, offsets = segments.longest, segments.offsets
        found: tuple[Tensor, Tensor, Tensor] = _flash_varlen_backward(
            slope,
            query,
            key,
            value,
            out,
            norm,
            offsets,
            offsets,
            longest,
            longest,
            0.0,
            True,
            state,
            unused,
            scale=scale,
        )
        return found
    slopes = tuple(torch.empty(each.shape, dtype=each.dtype, device=each.device) for each in (query, key, value))
    norms = iter(kept)
    for start, stop in segments:
        own = query[start:stop], key[start:stop], value[start:stop]
        if kernel is Kernel.CPU and _in_blocks(own[0]):
            for target, found_here in zip(slopes, blocked_backward(slope[start:stop], *own, scale), strict=True):
                target[start:stop] = found_here
            continue
        parts = [_heads_first(each) for each in own]
        arriving = _heads_first(slope[start:stop])
        if kernel is Kernel.CPU:
            done = _heads_first(out[start:stop])
            pieces = _flash_cpu_backward(arriving, *parts, done, next(norms), 0.0, True, scale=scale)
        else:
            pieces = _plain_backward(arriving, parts, scale)
        for target, piece in zip(slopes, pieces, strict=True):
            target[start:stop] = piece[0].transpose(0, 1)
    return slopes[0], slopes[1], slopes[2]


def _in_blocks(query: Tensor) -> bool:
    return query.shape[0] >= SHORTEST and query.dtype in (torch.float32, torch.float64)


def _heads_first(part: Tensor) -> Tensor:
    """(tokens, heads, width) -> (1, heads, tokens, width), a view."""
    return part.transpose(0, 1)[None]


def _plain(parts: list[Tensor], scale: float) -> Tensor:
    query, key, value = parts
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)


def _plain_backward(slope: Tensor, parts: list[Tensor], scale: float) -> tuple[Tensor, ...]:
    with torch.enable_grad():
        inputs = [part.detach().requires_grad_() for part in parts]
        return torch.autograd.grad(_plain(inputs, scale), inputs, slope)
