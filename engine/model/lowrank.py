"""Frozen products with low-rank adapters on them, plain or gated, forward and backward, without autograd."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.pointwise import Pointwise
from engine.model.product import add_product, linear, outer_sum, product


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Adapters of linears that read the same input, in the base's dtype."""

    down: Tensor
    """(ranks of all, in): every A below the other; with private experts each linear has a row for each rank of each."""
    ups: tuple[Tensor, ...]
    """Scale times B, of each linear: (out, rank), or (out, experts * rank) with the experts side by side."""
    rank: int

    def split(self, low: Tensor) -> tuple[Tensor, ...]:
        """(tokens, ranks of all) to one view for each linear."""
        return tuple(low.chunk(len(self.ups), dim=1))

    def widths(self) -> list[int]:
        """Outputs of each linear."""
        return [up.shape[0] for up in self.ups]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What came back through the B of a group."""

    low: Tensor
    """Gradient of the rank activations, (tokens, ranks of all)."""
    ups: list[Tensor]
    """Gradient of `ups`, turned, (rank or experts * rank, out), but for the scale."""
    gates: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slopes:
    """A group's finished gradients."""

    down: Tensor
    ups: list[Tensor]


def project(
    x: Tensor, weight: Tensor, bias: Tensor | None, group: Group, gates: Tensor | None, point: Pointwise
) -> tuple[Tensor, Tensor]:
    """x: (tokens, in) through a merged weight (outputs of all, in) and its adapters; and the rank activations."""
    out = linear(x, weight, bias)
    low = linear(x, group.down)
    if len(group.ups) == 1:
        return add_product(out, low if gates is None else point.spread(low, gates, group.rank), group.ups[0].t()), low
    for own, up, target in zip(group.split(low), group.ups, out.split(group.widths(), dim=1), strict=True):
        target.addmm_(own if gates is None else point.spread(own, gates, group.rank), up.t())
    return out, low


def pull(slope: Tensor, group: Group, low: Tensor, gates: Tensor | None, point: Pointwise) -> Pulled:
    """From the gradient (tokens, outputs of all) back through every B."""
    of_lows: list[Tensor] = []
    ups: list[Tensor] = []
    of_gates: Tensor | None = None
    for arriving, up, own in zip(slope.split(group.widths(), dim=1), group.ups, group.split(low), strict=True):
        of_low = product(arriving, up)
        if gates is None:
            ups.append(outer_sum(own, arriving))
        else:
            ups.append(outer_sum(point.spread(own, gates, group.rank), arriving))
            of_low, share = point.spread_backward(of_low, own, gates, group.rank)
            of_gates = share if of_gates is None else of_gates + share
        of_lows.append(of_low)
    return Pulled(low=of_lows[0] if len(of_lows) == 1 else torch.cat(of_lows, dim=1), ups=ups, gates=of_gates)


def settle(pulled: Pulled, x: Tensor) -> Slopes:
    """The gradients of a group whose input was `x`."""
    return Slopes(down=outer_sum(pulled.low, x), ups=pulled.ups)


def to_input(slope: Tensor, weight: Tensor, pulled: Pulled, group: Group) -> Tensor:
    """Gradient of the input: through the frozen weight and, added in place, through every A."""
    return add_product(product(slope, weight), pulled.low, group.down)
