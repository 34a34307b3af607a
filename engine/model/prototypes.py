"""Where routers start: at the directions in which domains differ, before anything is trained.

A zero router never tells its experts apart, and a random one drifts out of balance; prototypes start specialised and
balanced. Domains are the data's own labels when there are as many as experts, else clusters of conversations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from engine.model.adapters import Adapted
from engine.model.evened import PackedBin
from engine.model.experts import named_generator
from engine.model.forward import packed_hidden
from engine.model.kmeans import kmeans
from engine.model.router import Router

NORMAL_STD = 0.02
"""Spread of randomly started routers, as in MixLoRA (arXiv 2404.15159)."""

_ALIKE = 1e-6
"""Groups closer than this, in relation to the mean hidden state, differ by rounding only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterStart:
    """How the routers were started."""

    method: str
    """`domains`, `clusters` or `normal`."""
    conversations: int
    note: str = ""
    """Why it is not what was asked for, if it is not."""


def choose(domains: Sequence[int], per_domain: int, *, seed: int) -> list[int]:
    """Positions of at most `per_domain` conversations of each domain, seeded, in ascending order.

    `domains` holds each conversation's domain, -1 for none; conversations without one count as a domain.
    """
    shuffled = torch.randperm(len(domains), generator=torch.Generator().manual_seed(seed)).tolist()
    taken: dict[int, list[int]] = {}
    for position in shuffled:
        group = taken.setdefault(domains[position], [])
        if len(group) < per_domain:
            group.append(position)
    return sorted(position for group in taken.values() for position in group)


def normal_routers(adapted: Adapted, *, std: float = NORMAL_STD) -> RouterStart:
    """Start every router at N(0, std), from the spec's seed."""
    for layer in adapted.layers:
        if layer.router is not None:
            generator = named_generator(adapted.spec.seed, f"layers.{layer.index}.router.weight")
            set_router(layer.router, torch.randn(layer.router.weight.shape, generator=generator) * std)
    return RouterStart(method="normal", conversations=0)


@torch.no_grad()
def initialise_routers(adapted: Adapted, bins: Sequence[PackedBin]) -> RouterStart:
    """Start every router at the prototypes of the conversations in `bins`.

    Per layer: the mean MLP input of each group minus their grand mean, made orthogonal to the mean over all tokens,
    of unit length, times one factor that gives the logits a standard deviation of 1 over tokens. Falls back to
    `normal_routers`, with a note, when the conversations do not make as many groups as there are experts.
    """
    routers = [layer.router for layer in adapted.layers if layer.router is not None]
    if not routers:
        return RouterStart(method="normal", conversations=0)
    domains = torch.cat([_domains(packed) for packed in bins]) if bins else torch.zeros(0, dtype=torch.int64)
    count = domains.shape[0]
    if count < adapted.spec.num_experts:
        normal_routers(adapted)
        note = f"{count} conversations are too few for prototypes of {adapted.spec.num_experts} experts"
        return RouterStart(method="normal", conversations=count, note=note)
    means, overall = _mean_inputs(adapted, bins)
    method, groups = _group(domains, means, adapted.spec.num_experts, adapted.spec.seed)
    directions = [_directions(means[index], overall[index], groups) for index in range(len(routers))]
    if any(direction is None for direction in directions):
        normal_routers(adapted)
        return RouterStart(method="normal", conversations=count, note="the conversations are too alike for prototypes")
    for router, direction in zip(routers, directions, strict=True):
        if direction is not None:
            set_router(router, direction)
    for router, spread in zip(routers, _logit_spread(adapted, bins), strict=True):
        set_router(router, router.weight.detach().cpu() / spread)
    return RouterStart(method=method, conversations=count)


@torch.no_grad()
def recentre_routers(adapted: Adapted, bins: Sequence[PackedBin]) -> float:
    """Make every router blind again to what all tokens of `bins` share at its layer; returns the largest mean logit.

    Adapters that fit a base to new text move the mean of the hidden states first, and a router meets the new mean with
    weights that are orthogonal to the old one: all tokens then lean to one expert, in deeper layers most. A row that
    holds nothing but the common direction stays as it is.
    """
    routers = [layer.router for layer in adapted.layers if layer.router is not None]
    if not routers or not bins:
        return 0.0
    worst = 0.0
    for router, mean in zip(routers, _mean_inputs(adapted, bins)[1], strict=True):
        if not bool(mean.isfinite().all()):
            continue
        weight = router.weight.detach().to("cpu", torch.float64)
        common = functional.normalize(mean, dim=0)
        clean = weight - (weight @ common)[:, None] * common
        kept = clean.norm(dim=1, keepdim=True) > _ALIKE * weight.norm(dim=1, keepdim=True)
        worst = max(worst, float((weight @ mean).abs().max()))
        set_router(router, torch.where(kept, clean, weight))
    return worst


def set_router(router: Router, weight: torch.Tensor) -> None:
    """Write a router's weight.

    Raises:
        ValueError: an expert's row is zero (such experts would stay equal for ever) or not finite.
    """
    if not bool(weight.isfinite().all()) or bool((weight == 0).all(dim=-1).any()):
        raise ValueError(f"the router of layer {router.layer} would get a row that is zero or not finite")
    with torch.no_grad():
        router.weight.copy_(weight)


def _domains(packed: PackedBin) -> torch.Tensor:
    return packed.domains.to("cpu", torch.int64)[packed.starts.to("cpu", torch.int64)[:-1]]


def _group(domains: torch.Tensor, means: torch.Tensor, experts: int, seed: int) -> tuple[str, torch.Tensor]:
    """Each conversation's group: its domain when there is one for each expert (-1 is left out), else a cluster."""
    labels = domains[domains >= 0].unique()
    if labels.shape[0] == experts:
        return "domains", torch.where(domains >= 0, torch.bucketize(domains, labels), -1)
    # One clustering for all layers, each layer with equal say, so that expert e means the same throughout.
    centred = means - means.mean(1, keepdim=True)
    scale = centred.square().mean((1, 2), keepdim=True).sqrt().clamp(min=torch.finfo(means.dtype).tiny)
    features = (centred / scale).transpose(0, 1).flatten(1)
    return "clusters", kmeans(features, experts, seed=seed)


def _directions(means: torch.Tensor, overall: torch.Tensor, groups: torch.Tensor) -> torch.Tensor | None:
    """One layer's unit prototypes (experts, hidden); None when a group does not differ from the others."""
    centres = torch.stack([means[groups == group].mean(0) for group in range(int(groups.max()) + 1)])
    raw = centres - centres.mean(0)
    common = functional.normalize(overall, dim=0)
    # Hidden states share one huge direction; a router that sees it would send every token the same way.
    clean: torch.Tensor = raw - (raw @ common)[:, None] * common
    length = clean.norm(dim=1, keepdim=True)
    return None if float(length.min()) < _ALIKE * float(overall.norm()) else clean / length


def _mean_inputs(adapted: Adapted, bins: Sequence[PackedBin]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean MLP input by conversation (layers, conversations, hidden), and over all tokens (layers, hidden)."""
    by_bin: list[torch.Tensor] = []
    for packed in bins:
        starts = packed.starts.to(adapted.device, torch.int64)
        num = starts.shape[0] - 1
        tokens = int(packed.starts[-1])  # known here, so that the device need not be asked
        owner = torch.repeat_interleave(torch.arange(num, device=starts.device), starts.diff(), output_size=tokens)
        sums = torch.zeros(len(adapted.layers), num, adapted.head.in_features, dtype=torch.float64, device=owner.device)

        def add(index: int, x: torch.Tensor, sums: torch.Tensor = sums, owner: torch.Tensor = owner) -> None:
            sums[index].index_add_(0, owner, x[: owner.shape[0]].to(torch.float64))

        _watch(adapted, packed, add)
        by_bin.append(sums.to("cpu"))
    total = torch.cat(by_bin, dim=1)
    lengths = torch.cat([packed.starts.to("cpu", torch.int64).diff() for packed in bins]).to(total.dtype)
    return total / lengths[None, :, None], total.sum(1) / lengths.sum()


def _logit_spread(adapted: Adapted, bins: Sequence[PackedBin]) -> list[float]:
    """Root mean square of each layer's logits over tokens: their deviation, as prototypes make their mean zero."""
    squares = torch.zeros(len(adapted.layers), dtype=torch.float64, device=adapted.device)
    weights = [layer.router.weight for layer in adapted.layers if layer.router is not None]
    tokens = 0
    for packed in bins:
        valid = int(packed.starts[-1])

        def add(index: int, x: torch.Tensor, valid: int = valid) -> None:
            logits = functional.linear(x[:valid].to(torch.float32), weights[index].to(torch.float32))
            squares[index] += logits.square().mean(1).sum()

        _watch(adapted, packed, add)
        tokens += valid
    return [float(value) for value in (squares / tokens).sqrt()]


def _watch(adapted: Adapted, packed: PackedBin, see: Callable[[int, torch.Tensor], None]) -> None:
    """Show `see` each layer's post-attention-norm hidden state, (tokens, hidden), while the bin passes through."""

    def hook(index: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _module, inputs: see(index, inputs[0].detach().flatten(0, -2))

    handles = [
        layer.block.get_submodule("mlp").register_forward_pre_hook(hook(layer.index)) for layer in adapted.layers
    ]
    try:
        packed_hidden(adapted, packed)
    finally:
        for handle in handles:
            handle.remove()
