"""Gates by decree instead of by router: what evaluation uses to ask what an expert, or routing itself, is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class Chooser(Protocol):
    """The part of a router an override needs."""

    layer: int

    def probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden) -> (tokens, experts)."""

    def choose(self, probabilities: torch.Tensor) -> torch.Tensor:
        """(tokens, experts) probabilities -> gates."""


class GateOverride(Protocol):
    """Something that decides the gates in a router's place."""

    def gates(self, router: Chooser, x: torch.Tensor) -> torch.Tensor:
        """x: (tokens, hidden); returns (tokens, experts)."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every expert with weight 1/E: the model that the exported standard adapter is."""

    def gates(self, router: Chooser, x: torch.Tensor) -> torch.Tensor:
        """Constant rows."""
        p = router.probabilities(x)
        return torch.full_like(p, 1.0 / p.shape[-1])


@dataclass(frozen=True, slots=True)
class Forced:
    """One expert for every token."""

    expert: int

    def gates(self, router: Chooser, x: torch.Tensor) -> torch.Tensor:
        """One-hot rows."""
        gates = torch.zeros_like(router.probabilities(x))
        gates[:, self.expert] = 1.0
        return gates


@dataclass(frozen=True, slots=True)
class Ablated:
    """The router's own gates with one expert silenced and nothing put in its place."""

    expert: int

    def gates(self, router: Chooser, x: torch.Tensor) -> torch.Tensor:
        """Rows sum to less than 1 where the expert was chosen."""
        gates = router.choose(router.probabilities(x)).clone()
        gates[:, self.expert] = 0.0
        return gates


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A layer's own gates, the same for every token: all that a standard adapter can do with experts."""

    table: torch.Tensor
    """(layers, experts)."""

    def gates(self, router: Chooser, x: torch.Tensor) -> torch.Tensor:
        """Constant rows, each layer's own."""
        p = router.probabilities(x)
        return self.table[router.layer].to(p.device, p.dtype).expand_as(p).contiguous()
