"""What the fast path hands around: a layer ready to run, what a pass shares, what backward needs of a forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from engine.model.attention import Segments
from engine.model.copies import Adapters, Copies
from engine.model.frozen import Frozen
from engine.model.pointwise import Pointwise
from engine.model.router import Router
from engine.model.tally import Membership


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What all layers share on one pass of one bin."""

    segments: Segments
    cos: Tensor
    """(tokens, width) from the model's own rotary embedding, as is `sin`."""
    sin: Tensor
    membership: Membership | None
    """Where tokens are counted; None where nothing is."""
    pointwise: Pointwise
    recompute: bool
    """Keep only each layer's input, and run the layer again in backward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer, ready to run."""

    index: int
    frozen: Frozen
    adapters: Adapters
    copies: Copies
    router: Router | None


class Kept(NamedTuple):
    """What backward needs, (tokens, ...) each; from `gate_up` on (rows, ...) where only some rows were wanted."""

    x: Tensor
    x_scale: Tensor
    qkv: Tensor
    """(tokens, heads of all, width) rotated; as projected where the base norms its heads."""
    mixed: Tensor
    """Attention output, (tokens, heads, width)."""
    low_qkv: Tensor
    low_out: Tensor
    residual: Tensor
    residual_scale: Tensor
    p: Tensor | None
    """Router probabilities."""
    gates: Tensor | None
    low_gate_up: Tensor
    low_down: Tensor
    gate_up: Tensor
    attention: tuple[Tensor, ...]
    """What the attention kernel asks for."""

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Laid flat, as autograd keeps them."""
        return (*self[:-1], *self.attention)

    @classmethod
    def of(cls, tensors: tuple[Any, ...]) -> Kept:
        """What `tensors` laid flat."""
        fixed = len(cls._fields) - 1
        return cls._make((*tensors[:fixed], tuple(tensors[fixed:])))
