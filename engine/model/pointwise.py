"""What a decoder layer does between its products, value by value: norms, SwiGLU, rotary positions, gates; and back.

Plain functions without autograd. They are compiled where that pays (a CUDA device with Triton), each into one or two
kernels for every length of bin; elsewhere they run as written. STINT_COMPILE=1 compiles on a CPU too, 0 never.
Rule that the compiled form relies on: a tensor of two or more dimensions has tokens first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.model.typed import wide

log = logging.getLogger("stint.model")

SWITCH = "STINT_COMPILE"

_NOTHING_COMPILED = (
    "Nothing is compiled here, so steps are slower (%s). A card wants Triton, a C compiler (gcc) and Python's headers "
    "(python3-dev)."
)
_RECOMPILES = 64
"""Kinds of arguments that one function may meet; torch gives up at 8, and some meet 6."""


def norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Root mean square norm (arXiv 1910.07467) of the last dimension: the result, and 1 / rms (..., 1) for later."""
    values = x.to(wide(x.dtype))
    scale = torch.rsqrt(values.square().mean(-1, keepdim=True) + eps)
    return weight * (values * scale).to(x.dtype), scale


def add_norm(x: Tensor, change: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`x + change`, its norm, and 1 / rms."""
    total = x + change
    normed, scale = norm(total, weight, eps)
    return total, normed, scale


def norm_again(x: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
    """The norm's result from its kept `scale`."""
    return weight * (x * scale).to(x.dtype)


def norm_backward(slope: Tensor, x: Tensor, scale: Tensor, weight: Tensor, more: Tensor | None) -> Tensor:
    """Gradient of `x` from that of its norm; `more` is what reaches x on the residual way."""
    pull = (slope * weight).to(scale.dtype)
    unit = x * scale
    out = (pull - unit * (pull * unit).mean(-1, keepdim=True)) * scale
    return (out if more is None else out + more).to(x.dtype)


def swiglu(gate_up: Tensor) -> Tensor:
    """`silu(gate) * up` of the two halves of (tokens, 2 * inner)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


def swiglu_backward(slope: Tensor, gate_up: Tensor) -> tuple[Tensor, Tensor]:
    """The product once more, and the gradient (tokens, 2 * inner) of both halves."""
    gate, up = gate_up.chunk(2, dim=-1)
    active = functional.silu(gate)
    of_gate = torch.ops.aten.silu_backward(slope * up, gate)
    return active * up, torch.cat((of_gate, slope * active), dim=-1)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor, turned: int) -> Tensor:
    """Rotary positions (arXiv 2104.09864) on the first `turned` of (tokens, heads, width); the others as they are."""
    first, second = heads[:, :turned].chunk(2, dim=-1)
    (cos_1, cos_2), (sin_1, sin_2) = (each[:, None].chunk(2, dim=-1) for each in (cos, sin))
    moved = torch.cat((first * cos_1 - second * sin_1, second * cos_2 + first * sin_2), dim=-1)
    return torch.cat((moved, heads[:, turned:]), dim=1)


def rotate_backward(of_query: Tensor, of_key: Tensor, of_value: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Gradients before the rotation, (tokens, heads of all three, width)."""
    (cos_1, cos_2), (sin_1, sin_2) = (each[:, None].chunk(2, dim=-1) for each in (cos, sin))
    first, second = torch.cat((of_query, of_key), dim=1).chunk(2, dim=-1)
    moved = torch.cat((first * cos_1 + second * sin_2, second * cos_2 - first * sin_1), dim=-1)
    return torch.cat((moved, of_value), dim=1)


def softmax(logits: Tensor) -> Tensor:
    """Softmax over experts."""
    return functional.softmax(logits, dim=-1)


def chosen(p: Tensor, top_k: int) -> Tensor:
    """(tokens, experts) bool: the `top_k` largest of each row, of equals the first.

    By comparing all pairs: with a handful of experts a sort costs many times more, and this fuses.
    """
    earlier = torch.ones(p.shape[1], p.shape[1], dtype=torch.bool, device=p.device).tril(-1)
    mine, others = p[:, :, None], p[:, None, :]
    ahead = (others > mine) | ((others == mine) & earlier)
    return ahead.sum(-1) < top_k


def gate(p: Tensor, top_k: int) -> Tensor:
    """Gates (tokens, experts): the `top_k` largest probabilities renormalised, the rest 0."""
    return renormalised(p, chosen(p, top_k))


def renormalised(p: Tensor, mask: Tensor) -> Tensor:
    """Rows of `p` with only the masked values, brought to a sum of 1."""
    kept = p * mask
    return kept / kept.sum(-1, keepdim=True)


def gate_backward(slope: Tensor, p: Tensor, gates: Tensor, pull: Tensor | None, valid: Tensor | None) -> Tensor:
    """Gradient of the logits from that of the gates; `pull` (experts,) is the balance loss's, on `valid` tokens."""
    mask = gates != 0
    kept = (p * mask).sum(-1, keepdim=True)
    of_p = mask * (slope - (slope * gates).sum(-1, keepdim=True)) / kept
    if pull is not None:
        of_p = of_p + (pull if valid is None else pull * valid[:, None])
    return p * (of_p - (of_p * p).sum(-1, keepdim=True))


def spread(low: Tensor, gates: Tensor, rank: int) -> Tensor:
    """Rank activations times gates: (tokens, rank), or (tokens, experts * rank), to (tokens, experts * rank)."""
    tokens, experts = gates.shape
    by_expert = low.view(tokens, low.shape[1] // rank, rank).to(gates.dtype)
    return (gates[:, :, None] * by_expert).to(low.dtype).view(tokens, experts * rank)


def spread_backward(slope: Tensor, low: Tensor, gates: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Gradients of the rank activations and of the gates."""
    tokens, experts = gates.shape
    by_expert = low.view(tokens, low.shape[1] // rank, rank).to(gates.dtype)
    arriving = slope.view(tokens, experts, rank).to(gates.dtype)
    of_low = arriving * gates[:, :, None]
    if by_expert.shape[1] == 1:
        of_low = of_low.sum(1)
    return of_low.to(low.dtype).view(low.shape), (arriving * by_expert).sum(-1)


@dataclass(frozen=True, slots=True)
class Pointwise:
    """The functions above, as written or compiled."""

    norm: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]] = norm
    add_norm: Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor, Tensor]] = add_norm
    norm_again: Callable[[Tensor, Tensor, Tensor], Tensor] = norm_again
    norm_backward: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None], Tensor] = norm_backward
    swiglu: Callable[[Tensor], Tensor] = swiglu
    swiglu_backward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = swiglu_backward
    rotate: Callable[[Tensor, Tensor, Tensor, int], Tensor] = rotate
    rotate_backward: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor] = rotate_backward
    softmax: Callable[[Tensor], Tensor] = softmax
    gate: Callable[[Tensor, int], Tensor] = gate
    gate_backward: Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor | None], Tensor] = gate_backward
    spread: Callable[[Tensor, Tensor, int], Tensor] = spread
    spread_backward: Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]] = spread_backward


EAGER = Pointwise()


def pointwise_for(device: torch.device) -> Pointwise:
    """Compiled functions where there is a compiler and a device that gains by them, else the plain ones."""
    wanted = os.environ.get(SWITCH, "")
    if wanted == "0" or (device.type != "cuda" and wanted != "1"):
        return EAGER
    return compiled() if _compiles(device.type) else EAGER


@cache
def _compiles(device: str) -> bool:
    """Whether one small function compiles and runs: a card without Triton, a C compiler or Python's headers has none.

    Such a machine trains on the functions as written, which is slower and right.
    """
    try:
        import torch.utils._triton as triton  # nothing else brings it in for certain

        if device != "cuda" or triton.has_triton():
            _attempt(device)
            return True
        reason = "there is no Triton"
    except Exception as error:  # noqa: BLE001  (whatever a compiler lacks, there is another way)
        reason = type(error).__name__
    log.log(logging.WARNING if device == "cuda" else logging.INFO, _NOTHING_COMPILED, reason)
    return False


def _attempt(device: str) -> None:
    torch.compile(softmax, fullgraph=True)(torch.zeros(4, 4, device=device))


@cache
def compiled(backend: str | Callable[..., Any] = "inductor") -> Pointwise:
    """Every function compiled, once for all lengths."""
    return Pointwise(*(_compile(getattr(EAGER, field.name), backend) for field in fields(Pointwise)))


def _compile(function: Callable[..., Any], backend: str | Callable[..., Any]) -> Callable[..., Any]:
    from torch._dynamo import config, exc

    config.recompile_limit = max(config.recompile_limit, _RECOMPILES)
    graph = torch.compile(function, fullgraph=True, backend=backend)
    refused = False

    def run(*arguments: Any) -> Any:
        nonlocal refused
        if refused:
            return function(*arguments)
        for argument in arguments:
            if isinstance(argument, Tensor) and argument.dim() > 1:
                torch._dynamo.maybe_mark_dynamic(argument, 0)
        try:
            return graph(*arguments)
        except (exc.TorchDynamoException, exc.FailOnRecompileLimitHit) as error:
            # What a compiler refuses is computed as written; no hours are lost over it.
            log.warning("%s is not compiled, which is slower: %s.", function.__name__, type(error).__name__)
            refused = True
        return function(*arguments)

    return run
