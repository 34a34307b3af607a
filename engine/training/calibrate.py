"""Measuring the speed before it matters: real forward and backward passes over the first bins, then undone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import torch

from engine.data.batches import Bin, make_bins
from engine.model.forward import forward_loss, valid_tokens
from engine.plan.throughput import measured
from engine.training.trainer import Trainer

BINS = 7
"""One to fill caches and compilers, six to time; at the 12B shape about a minute at the assumed speed."""


def tokens_per_second(trainer: Trainer, progressed: Callable[[int], None]) -> float:
    """Median training tokens a second. Leaves parameters, gradients and routing statistics as they were."""
    samples: list[tuple[int, float]] = []
    for done, piece in enumerate(itertools.islice(_bins(trainer), BINS)):
        progressed(done)
        tokens = valid_tokens(piece)
        started = time.perf_counter()
        trainer.adapted.routing.begin_step(tokens)
        torch.autograd.backward(forward_loss(trainer.adapted, piece, scale=1.0 / max(1, piece.targets)))
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        samples.append((tokens, time.perf_counter() - started))
        trainer.adapted.routing.discard_step()
        for parameter in trainer.parameters:
            parameter.grad = None
    speed = measured(samples)
    return speed if speed is not None else sum(n for n, _ in samples) / max(1e-9, sum(s for _, s in samples))


def _bins(trainer: Trainer) -> Iterator[Bin]:
    for step in range(BINS):
        yield from make_bins(trainer.steps.at(step), trainer.bin_tokens)
