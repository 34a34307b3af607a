"""Cross entropy over target rows only, in chunks, so that logits never exist for more than one chunk of rows.

The head is frozen, so the gradient of its input is finished in the forward, chunk by chunk, at no extra arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from engine.model.product import linear, product
from engine.model.typed import apply, wide

CHUNK_ROWS = 1024
"""At the 12B shape 1,024 rows of float32 logits are 0.5 GiB; more rows do not make the product faster."""


def summed_nll(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> torch.Tensor:
    """Sum of `-log p(target)` over rows, a scalar of at least float32, differentiable in `hidden`.

    hidden: (rows, hidden), all of them targets; weight: (vocabulary, hidden) frozen; targets: (rows,) int64.
    """
    return apply(ChunkedNll, hidden, weight, bias, targets, chunk_rows)


@torch.no_grad()
def row_nll(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> torch.Tensor:
    """`-log p(target)` of each row: (rows,), at least float32, without gradient."""
    out = torch.empty(targets.shape, dtype=wide(hidden.dtype), device=hidden.device)
    for start, stop in _chunks(hidden.shape[0], chunk_rows):
        logits = linear(hidden[start:stop], weight, bias).to(out.dtype)
        out[start:stop] = functional.cross_entropy(logits, targets[start:stop], reduction="none")
    return out


class ChunkedNll(torch.autograd.Function):
    """See `summed_nll`; keeps one tensor of the shape of `hidden` for backward."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        chunk_rows: int,
    ) -> torch.Tensor:
        """Loss and, where it is needed, the gradient of `hidden` for a unit gradient of the loss."""
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=wide(hidden.dtype), device=hidden.device)
        for start, stop in _chunks(hidden.shape[0], chunk_rows):
            logits = linear(hidden[start:stop], weight, bias).to(total.dtype)
            goal = targets[start:stop, None]
            norm = torch.logsumexp(logits, dim=-1, keepdim=True)
            total += (norm - logits.gather(1, goal)).sum()
            if gradient is not None:
                slope = logits.sub_(norm).exp_()
                slope.scatter_add_(1, goal, torch.full_like(goal, -1, dtype=slope.dtype))
                gradient[start:stop] = product(slope.to(hidden.dtype), weight)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        """The finished gradient times the incoming scalar."""
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None, None, None


def _chunks(rows: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, rows)) for start in range(0, rows, size))
