"""The frozen linears of the base with what is trained on top of them: one LoRA, or a gated mixture of them.

A mixture is one wide LoRA whose rank columns are multiplied by the gate, `y = W x + s * B_cat (g (x) (A x))`: no token
is dispatched and no shape depends on the data. It equals gather-and-scatter dispatch in forward and in all gradients.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import nn
from torch.nn import functional

from engine.model.router import Router
from engine.model.spec import AdapterSpec, ExpertMode
from engine.model.typed import call, wide


class LoraLinear(nn.Module):
    """`y = W x + s * B (A x)` (arXiv 2106.09685): A (rank, in) and B (out, rank) in float32, product in x's dtype."""

    def __init__(self, base: nn.Linear, spec: AdapterSpec, name: str) -> None:
        super().__init__()
        self.base = base
        self.name = name
        self.scale = spec.scale
        like = base.weight
        self.lora_A = nn.Parameter(kaiming((spec.rank, base.in_features), f"{name}.lora_A", spec.seed, like.device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, spec.rank, dtype=torch.float32, device=like.device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (..., in) in the base's dtype; returns (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        low = functional.linear(rows, self.lora_A.to(x.dtype))
        y = torch.addmm(call(self.base, rows), low, self.lora_B.to(x.dtype).t(), alpha=self.scale)
        return y.view(*x.shape[:-1], -1)


class ExpertLinear(nn.Module):
    """A feed-forward linear with `num_experts` low-rank experts.

    `lora_B`: (experts, out, rank). `lora_A`: (rank, in) when shared, (experts, rank, in) when private. All float32.
    """

    def __init__(self, base: nn.Linear, spec: AdapterSpec, name: str) -> None:
        super().__init__()
        self.base = base
        self.name = name
        self.scale = spec.scale
        self.num_experts = spec.num_experts
        self.rank = spec.rank
        self.shared = spec.experts is ExpertMode.SHARED_A
        device = base.weight.device
        shape_a = (spec.rank, base.in_features) if self.shared else (spec.num_experts, spec.rank, base.in_features)
        shape_b = (spec.num_experts, base.out_features, spec.rank)
        self.lora_A = nn.Parameter(kaiming(shape_a, f"{name}.lora_A", spec.seed, device))
        self.lora_B = nn.Parameter(torch.zeros(shape_b, dtype=torch.float32, device=device))

    def forward(self, x: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """x: (tokens, in) in the base's dtype; gates: (tokens, experts), at least float32; returns (tokens, out)."""
        a = self.lora_A.to(x.dtype).reshape(-1, x.shape[-1])
        b = self.lora_B.to(x.dtype).transpose(1, 2).reshape(self.num_experts * self.rank, -1)
        low = functional.linear(x, a)
        by_expert = low[:, None, :] if self.shared else low.view(-1, self.num_experts, self.rank)
        gated = (gates[:, :, None] * by_expert.to(wide(x.dtype))).to(x.dtype).reshape(x.shape[0], -1)
        return torch.addmm(call(self.base, x), gated, b, alpha=self.scale)


class ExpertMlp(nn.Module):
    """The SwiGLU block of the base over expert linears; the gate is computed once and used by all three."""

    def __init__(self, base: nn.Module, router: Router, spec: AdapterSpec, name: str) -> None:
        super().__init__()
        self.router = router
        self.act_fn = base.act_fn
        self.gate_proj = ExpertLinear(base.get_submodule("gate_proj"), spec, f"{name}.gate_proj")  # type: ignore[arg-type]
        self.up_proj = ExpertLinear(base.get_submodule("up_proj"), spec, f"{name}.up_proj")  # type: ignore[arg-type]
        self.down_proj = ExpertLinear(base.get_submodule("down_proj"), spec, f"{name}.down_proj")  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (..., hidden), the post-attention-norm hidden state; returns the same shape."""
        rows = x.reshape(-1, x.shape[-1])
        gates = call(self.router, rows)
        up = call(self.up_proj, rows, gates)
        inner = call(self.act_fn, call(self.gate_proj, rows, gates)) * up  # type: ignore[arg-type]
        return call(self.down_proj, inner, gates).view(x.shape)


def kaiming(shape: tuple[int, ...], name: str, seed: int, device: torch.device) -> torch.Tensor:
    """`kaiming_uniform_(a=sqrt(5))` as LoRA starts its A: uniform in +-1/sqrt(in), float32.

    The generator is seeded by the parameter's name, so the values depend neither on the order of modules nor on the
    device they end on.
    """
    if device.type == "meta":
        return torch.empty(shape, dtype=torch.float32, device=device)
    bound = 1.0 / math.sqrt(shape[-1])
    values = torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=named_generator(seed, name))
    return values.to(device)


def named_generator(seed: int, name: str) -> torch.Generator:
    """A generator of its own for each parameter: what one gets does not depend on how many others there are."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
