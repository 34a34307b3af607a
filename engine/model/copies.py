"""One layer's adapters as the fast path multiplies by them, and the way of their gradients back to the parameters.

Copies are in the base's dtype: A stacked where the input is shared, B times the scale with experts side by side. They
are made for every pass, which costs a few parts in a thousand of it: a cache could not know when to forget, as the
fused AdamW changes parameters without counting their versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.model.adapters import AdaptedLayer
from engine.model.experts import ExpertLinear, LoraLinear
from engine.model.lowrank import Group, Slopes
from engine.model.spec import ATTENTION, FFN
from engine.model.typed import wide


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """All adapters of a layer."""

    qkv: Group
    out: Group
    gate_up: Group
    down: Group
    router: Tensor | None
    """(experts, hidden), at least float32; None without experts."""


class Adapters:
    """The parameters of one layer in the order in which its node takes them and returns their gradients."""

    def __init__(self, layer: AdaptedLayer) -> None:
        self.linears: list[LoraLinear | ExpertLinear] = [
            *(layer.attention[name] for name in ATTENTION),
            *(layer.ffn[name] for name in FFN),
        ]
        self.router = None if layer.router is None else layer.router.weight

    def parameters(self) -> list[nn.Parameter]:
        """A and B of q, k, v, o, gate, up, down, then the router."""
        pairs = [parameter for linear in self.linears for parameter in (linear.lora_A, linear.lora_B)]
        return pairs if self.router is None else [*pairs, self.router]

    @torch.no_grad()
    def copies(self, dtype: torch.dtype) -> Copies:
        """Stacked, scaled and cast, as the parameters are at this moment."""
        q, k, v, o, gate, up, down = self.linears
        return Copies(
            qkv=_group((q, k, v), dtype),
            out=_group((o,), dtype),
            gate_up=_group((gate, up), dtype),
            down=_group((down,), dtype),
            router=None if self.router is None else self.router.detach().to(wide(dtype)),
        )

    def gradients(self, groups: Sequence[Slopes], router: Tensor | None) -> list[Tensor]:
        """In the order, shapes and dtypes of `parameters`; `groups` in the order of the fields of `Copies`."""
        pairs = [pair for group in groups for pair in zip(group.down.chunk(len(group.ups)), group.ups, strict=True)]
        found: list[Tensor] = []
        for linear, (of_a, of_b) in zip(self.linears, pairs, strict=True):
            a, b = linear.lora_A, linear.lora_B
            found.append(of_a.to(a.dtype).view(a.shape))
            scaled = of_b.to(b.dtype) * linear.scale
            found.append(scaled.t() if b.dim() == 2 else scaled.view(b.shape[0], b.shape[2], -1).transpose(1, 2))
        return found if router is None or self.router is None else [*found, router.to(self.router.dtype)]


def _group(linears: Sequence[LoraLinear | ExpertLinear], dtype: torch.dtype) -> Group:
    downs = [linear.lora_A.detach().to(dtype).flatten(0, -2) for linear in linears]
    ups = tuple((_side_by_side(linear.lora_B.detach()) * linear.scale).to(dtype) for linear in linears)
    stacked = downs[0] if len(downs) == 1 else torch.cat(downs)
    return Group(down=stacked, ups=ups, rank=linears[0].lora_A.shape[-2])


def _side_by_side(b: Tensor) -> Tensor:
    """(experts, out, rank) -> (out, experts * rank); a single B as it is."""
    return b if b.dim() == 2 else b.transpose(0, 1).reshape(b.shape[1], -1)
