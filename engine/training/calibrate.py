"""Measuring the speed before it matters: real passes over the first bins, a file like a checkpoint; then undone."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.data.batches import Bin, make_bins
from engine.model.forward import evaluate_bin, forward_loss, valid_tokens
from engine.plan.throughput import MEASURED_BINS, MEASURED_S, MEASURED_SHARE, MOST_MEASURED_BINS, measured
from engine.training.trainer import Trainer

READ_BINS = 4
"""Bins that are only read, as in an evaluation: one to fill caches, three to go by."""

PROBE_BYTES = 32 << 20
"""Most of what is written to learn the speed of the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Median tokens a second, trained on and only read."""

    tokens_per_s: float
    read_tokens_per_s: float


def speed(trainer: Trainer, progressed: Callable[[int], None]) -> Speed:
    """Measure both. Leaves parameters, gradients and routing statistics as they were."""
    trained: list[tuple[int, float]] = []
    begun = time.perf_counter()
    for done, piece in enumerate(_bins(trainer)):
        if done >= MEASURED_BINS and time.perf_counter() - begun >= MEASURED_S:
            break
        progressed(done)
        tokens = valid_tokens(piece)
        started = time.perf_counter()
        trainer.adapted.routing.begin_step(tokens)
        torch.autograd.backward(forward_loss(trainer.adapted, piece, scale=1.0 / max(1, piece.targets)))
        _settle(trainer)
        trained.append((tokens, time.perf_counter() - started))
        trainer.adapted.routing.discard_step()
        for parameter in trainer.parameters:
            parameter.grad = None
    read: list[tuple[int, float]] = []
    for piece in itertools.islice(trainer.packed(trainer.validation), READ_BINS):
        progressed(len(trained))
        started = time.perf_counter()
        evaluate_bin(trainer.adapted, piece)
        _settle(trainer)
        read.append((valid_tokens(piece), time.perf_counter() - started))
    trainer.adapted.routing.sample_evaluation()
    return Speed(tokens_per_s=_rate(trained), read_tokens_per_s=_rate(read))


def save_seconds(directory: Path, num_bytes: int) -> float | None:
    """Seconds to write, sync and hash `num_bytes` in `directory`, by a part of them; None where that fails."""
    part = max(1, min(num_bytes, PROBE_BYTES))
    block = os.urandom(min(part, 1 << 20))
    descriptor, name = None, ""
    try:
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=".probe-")
        started = time.perf_counter()
        digest, left = hashlib.sha256(), part
        while left > 0:
            left -= os.write(descriptor, block[:left])
            digest.update(block)
        os.fsync(descriptor)
        return (time.perf_counter() - started) * num_bytes / part
    except OSError:
        return None
    finally:
        if descriptor is not None:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                Path(name).unlink()


def _settle(trainer: Trainer) -> None:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)


def _rate(samples: Sequence[tuple[int, float]]) -> float:
    found = measured(samples)
    return found if found is not None else sum(n for n, _ in samples) / max(1e-9, sum(s for _, s in samples))


def _bins(trainer: Trainer) -> Iterator[Bin]:
    """The bins to be timed, from the first step on; each step has one or more."""
    first = make_bins(trainer.steps.at(0), trainer.bin_tokens)
    share = int(MEASURED_SHARE * len(first) * trainer.plan.planned_steps)
    most = max(MEASURED_BINS, min(MOST_MEASURED_BINS, share))
    bins = (piece for step in range(most) for piece in make_bins(trainer.steps.at(step), trainer.bin_tokens))
    return itertools.islice(bins, most)
