"""One optimizer step: bins in, one update out. No events, no files, no waiting for the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from engine.data.batches import Bin
from engine.model.adapters import Adapted
from engine.model.forward import forward_loss, valid_tokens
from engine.model.late import DeviceClock, Late
from engine.training.optimizer import drop_gradients, set_rate, step_where
from engine.training.trainer import Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """What one step did. Whoever reads a number that the device has not brought back yet waits for it."""

    tokens: int
    targets: int
    data_s: float
    """Seconds until the bins were ready."""
    numbers: Late
    """(2,): the loss and the norm of the gradient."""
    clock: DeviceClock

    @property
    def loss(self) -> float | None:
        """Mean NLL of the step's target tokens in nats; None where it was not finite."""
        return _finite(self.numbers.read().tolist()[0])

    @property
    def grad_norm(self) -> float | None:
        """Before clipping; None where it was not finite."""
        return _finite(self.numbers.read().tolist()[1])

    @property
    def rejected(self) -> str | None:
        """Why the optimizer did not move; None where it did."""
        if self.loss is None:
            return "the loss is not finite"
        return "the gradient is not finite" if self.grad_norm is None else None

    @property
    def device_s(self) -> float | None:
        """Seconds the step took where the device has a clock of its own."""
        return self.clock.seconds()


def take_step(trainer: Trainer, bins: Sequence[Bin], *, rate: float, ramp: float, data_s: float = 0.0) -> StepStats:
    """Forward and backward over the step's bins, clip, update. They were `data_s` seconds in coming.

    The loss is the mean over the step's target tokens whatever the bins, so bins change memory, never the mathematics.
    `ramp` in [0, 1] scales the balance loss. A non-finite loss or gradient leaves parameters, optimizer and routing
    statistics as they were; that is decided where the numbers are, and told when they have come back.
    """
    tokens = sum(valid_tokens(piece) for piece in bins)
    targets = sum(piece.targets for piece in bins)
    clock = DeviceClock.start(trainer.device)
    trainer.adapted.routing.begin_step(tokens, ramp=ramp)
    total = torch.zeros((), device=trainer.device)
    for piece in bins:
        total += learn(trainer.adapted, piece, scale=1.0 / targets)
    norm = torch.nn.utils.clip_grad_norm_(trainer.parameters, trainer.max_grad_norm)
    numbers = torch.stack([total, norm.to(total.dtype)])
    finite = numbers.isfinite().all()
    set_rate(trainer.optimizer, rate)
    step_where(trainer.optimizer, finite)
    trainer.adapted.routing.end_step(finite)
    drop_gradients(trainer.parameters)
    clock.stop()
    return StepStats(tokens=tokens, targets=targets, data_s=data_s, numbers=Late.of(numbers), clock=clock)


def learn(adapted: Adapted, piece: Bin, *, scale: float) -> torch.Tensor:
    """Forward and backward of one bin; returns its loss, whose graph is gone before the next bin makes one."""
    loss = forward_loss(adapted, piece, scale=scale)
    torch.autograd.backward(loss)
    return loss.detach()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
