"""Measuring the speed before it matters: real forward and backward passes over the first steps, then undone."""

from __future__ import annotations

import statistics
import time

import torch

from engine.data.batches import make_bins
from engine.model.forward import forward_loss, valid_tokens
from engine.training.trainer import Trainer

WARM, TIMED = 1, 3
"""Steps run to fill caches and compilers, and steps timed."""


def tokens_per_second(trainer: Trainer) -> float:
    """Median training tokens a second. Leaves parameters, gradients and routing statistics as they were."""
    rates: list[float] = []
    for step in range(WARM + TIMED):
        bins = make_bins(trainer.steps.at(step), trainer.bin_tokens)
        tokens = sum(valid_tokens(piece) for piece in bins)
        targets = max(1, sum(piece.targets for piece in bins))
        started = time.perf_counter()
        trainer.adapted.routing.begin_step(tokens)
        for piece in bins:
            torch.autograd.backward(forward_loss(trainer.adapted, piece, scale=1.0 / targets))
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        rates.append(tokens / (time.perf_counter() - started))
        trainer.adapted.routing.discard_step()
        for parameter in trainer.parameters:
            parameter.grad = None
    return statistics.median(rates[WARM:])
