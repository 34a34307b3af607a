"""Whether experts follow domains more than chance would make them: mutual information against permuted domains.

Tokens of one conversation go together, so what chance alone gives is found by permuting the domains over whole
conversations, never over tokens; a small sample's bias is then in both numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

PERMUTATIONS = 1000
_CHUNK_VALUES = 4_000_000
"""Values of the permuted domain tables made at once: 32 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignments:
    """What routers chose over a set of conversations, on the host."""

    counts: torch.Tensor
    """(layers, conversations, experts) int64."""
    domains: torch.Tensor
    """(conversations,) int64, -1 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specialisation:
    """Mutual information of domain and expert in nats; the null is over `permutations` of the domains."""

    information: float
    """Mean over layers."""
    layer_information: tuple[float, ...]
    permuted_mean: float
    permuted_p99: float
    permutations: int


def merge(pieces: Sequence[Assignments], conversations: Sequence[int]) -> Assignments:
    """Lay pieces side by side and add up the parts of one conversation, named by equal numbers."""
    counts = torch.cat([piece.counts for piece in pieces], dim=1)
    domains = torch.cat([piece.domains for piece in pieces])
    names, owner = torch.tensor(list(conversations)).unique(return_inverse=True)
    shape = (counts.shape[0], names.shape[0], counts.shape[2])
    merged = torch.zeros(shape, dtype=counts.dtype).index_add_(1, owner, counts)
    # Parts of one conversation share its domain, so whichever of them is written last is right.
    return Assignments(counts=merged, domains=torch.empty_like(names).index_copy_(0, owner, domains))


def specialisation(assignments: Assignments, *, seed: int, permutations: int = PERMUTATIONS) -> Specialisation | None:
    """Measure it; None with fewer than two domains or without any routed token."""
    known = (assignments.domains >= 0) & (assignments.counts.sum((0, 2)) > 0)
    counts = assignments.counts[:, known].to(torch.float64)
    labels, domains = assignments.domains[known].unique(return_inverse=True)
    layers, conversations, experts = counts.shape
    if labels.shape[0] < 2 or layers == 0:
        return None
    flat = counts.transpose(0, 1).reshape(conversations, layers * experts)
    generator = torch.Generator().manual_seed(seed)
    chunk = max(1, _CHUNK_VALUES // (labels.shape[0] * conversations))
    null = []
    for start in range(0, permutations, chunk):
        size = min(chunk, permutations - start)
        order = torch.rand(size, conversations, generator=generator, dtype=torch.float64).argsort(dim=1)
        null.append(_information(domains[order], labels.shape[0], flat, layers).mean(1))
    permuted = torch.cat(null)
    measured = _information(domains[None], labels.shape[0], flat, layers)[0]
    return Specialisation(
        information=float(measured.mean()),
        layer_information=tuple(measured.tolist()),
        permuted_mean=float(permuted.mean()),
        permuted_p99=float(permuted.quantile(0.99)),
        permutations=permutations,
    )


def _information(domains: torch.Tensor, num_domains: int, flat: torch.Tensor, layers: int) -> torch.Tensor:
    """(permutations, conversations) domains and (conversations, layers * experts) counts -> (permutations, layers)."""
    member = torch.nn.functional.one_hot(domains, num_domains).transpose(1, 2).to(flat.dtype)
    table = (member @ flat).view(domains.shape[0], num_domains, layers, -1).transpose(1, 2)
    joint = table / table.sum((2, 3), keepdim=True)
    together = torch.special.entr(joint).sum((2, 3))
    apart = torch.special.entr(joint.sum(3)).sum(2) + torch.special.entr(joint.sum(2)).sum(2)
    information: torch.Tensor = (apart - together).clamp(min=0)
    return information
