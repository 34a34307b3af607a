"""Validation loss: the mean over target tokens, in nats, whatever the batching; and where the router sent them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from engine.data.example import Example
from engine.model.forward import evaluate_bin
from engine.model.tally import RoutingSample
from engine.quality.specialisation import Assignments, merge
from engine.training.trainer import Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """One evaluation. `loss` is None where it was interrupted or not finite."""

    loss: float | None
    targets: int
    eval_s: float
    domains: dict[str, float | None]
    routing: RoutingSample | None
    assignments: Assignments | None
    """By conversation; None without routers."""
    interrupted: bool = False


def evaluate(trainer: Trainer, examples: Sequence[Example], stop: Callable[[], bool]) -> EvalResult:
    """Token-weighted NLL of `examples`, which is the trainer's subset or its validation set.

    `stop` is asked between bins and ends the evaluation early, without a loss.
    """
    started = time.perf_counter()
    sums = torch.zeros(len(trainer.domains) + 1, dtype=torch.float64)
    counts = torch.zeros(len(trainer.domains) + 1, dtype=torch.int64)
    routing = trainer.adapted.routing
    routing.sample_evaluation()
    interrupted = False
    chosen: list[Assignments] = []
    names: list[int] = []
    for piece in trainer.packed(examples):
        if stop():
            interrupted = True
            break
        scores = evaluate_bin(trainer.adapted, piece)
        # Conversations without a domain count at the end, past the named ones.
        place = torch.where(scores.domains < 0, len(trainer.domains), scores.domains)
        sums.index_add_(0, place, scores.nll)
        counts.index_add_(0, place, scores.targets)
        chosen.append(Assignments(counts=scores.assignments, domains=scores.domains))
        names += [examples[index].conversation for index in piece.examples]
    sample = routing.sample_evaluation()
    total = int(counts.sum())
    mean = float(sums.sum() / total) if total and not interrupted else math.nan
    return EvalResult(
        loss=mean if math.isfinite(mean) else None,
        targets=total,
        eval_s=time.perf_counter() - started,
        domains={name: _mean(sums[i], counts[i]) for i, name in enumerate(trainer.domains)} if not interrupted else {},
        routing=None if interrupted else sample,
        assignments=merge(chosen, names) if sample is not None and not interrupted else None,
        interrupted=interrupted,
    )


def _mean(total: torch.Tensor, count: torch.Tensor) -> float | None:
    value = float(total / count) if int(count) else math.nan
    return value if math.isfinite(value) else None
