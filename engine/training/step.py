"""One optimizer step: bins in, one update out. No events, no clocks but its own, no files."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from engine.data.batches import make_bins
from engine.data.example import Example
from engine.model.forward import forward_loss, valid_tokens
from engine.training.optimizer import set_rate
from engine.training.trainer import Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """What one step did. `loss` is the mean NLL of its target tokens in nats; None where it was not finite."""

    loss: float | None
    grad_norm: float | None
    tokens: int
    targets: int
    data_s: float
    """Seconds until the bins were ready."""
    rejected: str | None = None
    """Why the optimizer did not move."""


def take_step(trainer: Trainer, examples: Sequence[Example], *, rate: float, ramp: float) -> StepStats:
    """Forward and backward over the step's bins, clip, update.

    The loss is the mean over the step's target tokens whatever the bins, so bins change memory, never the mathematics.
    `ramp` in [0, 1] scales the balance loss. A non-finite loss or gradient leaves parameters, optimizer and routing
    statistics as they were.
    """
    started = time.perf_counter()
    bins = make_bins(examples, trainer.bin_tokens)
    tokens = sum(valid_tokens(piece) for piece in bins)
    targets = sum(piece.targets for piece in bins)
    data_s = time.perf_counter() - started

    trainer.adapted.routing.begin_step(tokens, ramp=ramp)
    total = torch.zeros((), device=trainer.device)
    for piece in bins:
        loss = forward_loss(trainer.adapted, piece, scale=1.0 / targets)
        torch.autograd.backward(loss)
        total += loss.detach()
    norm = torch.nn.utils.clip_grad_norm_(trainer.parameters, trainer.max_grad_norm)
    loss_value, norm_value = torch.stack([total, norm.to(total.dtype)]).tolist()

    rejected = None
    if not math.isfinite(loss_value):
        rejected = "the loss is not finite"
    elif not math.isfinite(norm_value):
        rejected = "the gradient is not finite"
    if rejected is None:
        set_rate(trainer.optimizer, rate)
        trainer.optimizer.step()
        trainer.adapted.routing.end_step()
    else:
        trainer.adapted.routing.discard_step()
    trainer.optimizer.zero_grad(set_to_none=True)
    return StepStats(
        loss=loss_value if math.isfinite(loss_value) else None,
        grad_norm=norm_value if math.isfinite(norm_value) else None,
        tokens=tokens,
        targets=targets,
        data_s=data_s,
        rejected=rejected,
    )
