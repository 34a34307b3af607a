"""One router per layer: which experts a token uses, in at least float32 whatever the base computes in."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from engine.model.routing import Routing
from engine.model.typed import wide


class Router(nn.Module):
    """Softmax over all experts, the `top_k` largest kept and renormalised. `weight`: (experts, hidden) float32."""

    def __init__(self, hidden: int, layer: int, routing: Routing, device: torch.device) -> None:
        super().__init__()
        self.layer = layer
        self.routing = routing
        self.weight = nn.Parameter(torch.zeros(routing.num_experts, hidden, dtype=torch.float32, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (tokens, hidden); returns gates (tokens, experts), rows sum to 1 unless an expert is ablated."""
        if self.routing.override is not None:
            return self.routing.override.gates(self, x)
        return self.choose(self.routing.observe(self.layer, self.probabilities(x)))

    def probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden) -> softmax over experts (tokens, experts)."""
        dtype = wide(x.dtype)
        return functional.softmax(functional.linear(x.to(dtype), self.weight.to(dtype)), dim=-1)

    def choose(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Keep the largest `top_k` of each row and renormalise; the rest are exactly 0."""
        kept, experts = probabilities.topk(self.routing.top_k, dim=-1)
        return torch.zeros_like(probabilities).scatter(-1, experts, kept / kept.sum(-1, keepdim=True))
