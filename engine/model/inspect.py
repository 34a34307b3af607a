"""How large the adapters are and how alike the experts, read off the weights without forming any update.

An update `s * B A` is out x in; its inner products are those of two small matrices, because
`<B_i A_i, B_j A_j> = sum((B_i^T B_j) o (A_i A_j^T))`, both of size rank x rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.model.adapters import Adapted
from engine.model.experts import ExpertLinear, LoraLinear


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """On the host, float64. Without experts, `norms` and `similarity` have no layers."""

    norms: torch.Tensor
    """(layers, experts): Frobenius norm of an expert's update over the layer's three linears."""
    similarity: torch.Tensor
    """(layers, experts, experts): cosine between those updates; 0 where one of them is zero, 1 on the diagonal."""
    attention_norms: torch.Tensor
    """(layers,): Frobenius norm of the attention's updates over its four linears."""

    @property
    def layer_similarity(self) -> torch.Tensor:
        """(layers,): mean cosine over pairs of different experts; near 1 the experts have become one."""
        experts = self.similarity.shape[-1]
        pairs = max(1, experts * (experts - 1))
        return (self.similarity.sum((1, 2)) - self.similarity.diagonal(dim1=1, dim2=2).sum(1)) / pairs


@torch.no_grad()
def inspect(adapted: Adapted) -> Inspection:
    """Look at the adapters as they are."""
    attention, experts = [], []
    for layer in adapted.layers:
        attention.append(torch.stack([gram(linear)[0, 0] for linear in layer.attention.values()]).sum())
        if layer.router is not None:
            experts.append(torch.stack([gram(linear) for linear in layer.ffn.values()]).sum(0))
    count = adapted.spec.num_experts
    table = torch.stack(experts) if experts else torch.zeros(0, count, count, dtype=torch.float64)
    norms = table.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    scale = norms[:, :, None] * norms[:, None, :]
    cosine = torch.where(scale > 0, table / scale, torch.zeros_like(table)).clamp(-1, 1)
    cosine.diagonal(dim1=1, dim2=2).fill_(1.0)
    return Inspection(norms=norms, similarity=cosine, attention_norms=torch.stack(attention).sqrt())


def gram(linear: LoraLinear | ExpertLinear) -> torch.Tensor:
    """(experts, experts) float64 on the host: inner products of the updates `s * B_e A_e` of one linear.

    One low-rank product counts as one expert.
    """
    a, b = linear.lora_A.detach().to(torch.float64), linear.lora_B.detach().to(torch.float64)
    b = b if b.dim() == 3 else b[None]
    experts, _, rank = b.shape
    columns = b.transpose(1, 2).flatten(0, 1)
    outputs = (columns @ columns.t()).view(experts, rank, experts, rank)
    rows = a.flatten(0, -2)
    inputs = (rows @ rows.t()).view(-1, rank, rows.shape[0] // rank, rank)
    return (linear.scale**2 * (outputs * inputs).sum((1, 3))).cpu()
