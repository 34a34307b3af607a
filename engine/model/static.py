"""A mixture with constant gates as one standard LoRA: exact, since everything else about an expert is linear.

With a shared A the feed-forward B is the weighted sum of the experts'. With private A the experts lie side by side at
experts * rank, where PEFT's own 1/experts is undone by the weights. Uniform gates give the adapter of `export.py`.
"""

from __future__ import annotations

import torch

from engine.model.adapters import Adapted
from engine.model.experts import ExpertLinear, LoraLinear
from engine.model.export import peft_name


def static_tensors(adapted: Adapted, gates: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every tensor of a standard adapter, float32 on the host, by PEFT's names; gates: (layers, experts)."""
    found: dict[str, torch.Tensor] = {}
    for layer in adapted.layers:
        for path, linear in layer.linears.items():
            a, b = linear.lora_A.detach().cpu(), linear.lora_B.detach().cpu()
            if isinstance(linear, ExpertLinear):
                a, b = _combined(linear, a, b, gates[layer.index].to("cpu", b.dtype))
            found[peft_name(f"layers.{layer.index}.{path}.lora_A")] = a.contiguous()
            found[peft_name(f"layers.{layer.index}.{path}.lora_B")] = b.contiguous()
    return found


def static_delta(linear: LoraLinear | ExpertLinear, gates: torch.Tensor | None) -> torch.Tensor:
    """`s * B A` of one adapted linear under constant gates (experts,): (out, in) float32; a plain LoRA takes none."""
    a, b, scale = linear.lora_A.detach(), linear.lora_B.detach(), linear.scale
    if not isinstance(linear, ExpertLinear):
        return scale * (b @ a)
    assert gates is not None
    weighted = gates.to(b.device, b.dtype)[:, None, None] * b
    if linear.shared:
        return scale * (weighted.sum(0) @ a)
    return scale * torch.bmm(weighted, a).sum(0)


def _combined(
    linear: ExpertLinear, a: torch.Tensor, b: torch.Tensor, gates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    weighted = gates[:, None, None] * b
    if linear.shared:
        return a, weighted.sum(0)
    return a.flatten(0, 1), (weighted * linear.num_experts).transpose(0, 1).flatten(1)
