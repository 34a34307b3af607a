"""The loss of a mixture under gates by decree, of everything and by domain: what the examination and an export ask."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from engine.data.batches import Bin
from engine.model.adapters import Adapted
from engine.model.forward import evaluate_bin
from engine.model.gates import GateOverride


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedLoss:
    """Mean NLL over target tokens in nats; None where there were no targets or it was not finite."""

    loss: float | None
    domains: Mapping[str, float | None]
    """Of each domain that has targets."""


def gated_loss(
    adapted: Adapted,
    bins: Sequence[Bin],
    domains: Sequence[str],
    gates: GateOverride | None,
    stop: Callable[[], bool] = lambda: False,
) -> GatedLoss | None:
    """Evaluate `bins` with `gates` in the routers' place, None for the routers' own; None where `stop` ended it.

    `stop` is asked between bins. What routing counted on the way is dropped: it is no evaluation of a run's.
    """
    sums = torch.zeros(len(domains) + 1, dtype=torch.float64)
    counts = torch.zeros(len(domains) + 1, dtype=torch.int64)
    with nullcontext() if gates is None else adapted.routing.overridden(gates):
        for piece in bins:
            if stop():
                return None
            scores = evaluate_bin(adapted, piece)
            # Conversations without a domain count at the end, past the named ones.
            place = torch.where(scores.domains < 0, len(domains), scores.domains)
            sums.index_add_(0, place, scores.nll)
            counts.index_add_(0, place, scores.targets)
    adapted.routing.sample_evaluation()
    named = zip(domains, sums.tolist(), counts.tolist(), strict=False)
    return GatedLoss(
        loss=_mean(float(sums.sum()), int(counts.sum())),
        domains={name: _mean(total, count) for name, total, count in named if count},
    )


def _mean(total: float, count: int) -> float | None:
    value = total / count if count else math.nan
    return value if math.isfinite(value) else None
