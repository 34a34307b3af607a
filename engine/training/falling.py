"""Does the loss fall at all? Two plain steps on a few conversations in Init, then everything is as it was before.

A gradient promises, for a small enough step along it, a fall in proportion to its square: plain descent without an
optimizer, so that neither its state nor the learning rate of the run is involved. What keeps no such promise with any
of three lengths of step would not learn in twelve hours either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from configs.errors import ConfigError
from engine.data.batches import Bin, make_bins
from engine.data.example import Example
from engine.model.forward import forward_loss, valid_tokens
from engine.training.memory import in_memory
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.events import MessageLogged
from states.wording import number

CONVERSATIONS = 4
MOST_TOKENS = 1024
"""Of them together, so that the check takes seconds at any size of base."""

FALLS = (0.05, 0.01, 0.002)
"""Shares of the loss that a step is to win, tried in turn: the first is plain to see, the last nearly infinitesimal."""

KEPT = 0.1
"""Of what the gradient promises, that must come true: rounding and curvature take some, chance gives none."""

LEARNED = 0.05
"""Nats: where the loss starts below this, there is nothing left to learn from these conversations."""


class DoesNotLearn(ConfigError):  # noqa: N818  (what happened)
    """The gradient does not lower the loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """Mean loss of the conversations' target tokens, nats, before and after the two steps."""

    conversations: int
    before: float
    after: float
    fell: bool

    @property
    def sentence(self) -> str:
        """What was seen."""
        falls = "falls" if self.fell else "does not fall"
        return (
            f"The loss of {self.conversations} conversations {falls} in two small steps: {number(self.before)} before, "
            f"{number(self.after)} after."
        )


def must_fall(session: Session, trainer: Trainer) -> Fall:
    """Check it and say so. Raises `DoesNotLearn` where the loss does not fall."""
    with session.task("check that the loss falls"):
        found = in_memory(session, trainer, lambda: fall(trainer))
    if not found.fell:
        raise DoesNotLearn(
            f"{found.sentence} Training would only use up the window. Look at what carries loss with `python run.py "
            "dataset preview FILE 1`, and at whether the base model's weights are whole: download it again, or try "
            "another one."
        )
    session.emit(MessageLogged(level="INFO", logger="stint.preflight", text=f"{found.sentence} Both were taken back."))
    return found


def fall(trainer: Trainer) -> Fall:
    """Take two plain steps and take them back: parameters, gradients and routing statistics end as they began."""
    chosen = _chosen(trainer)
    bins = make_bins(chosen, trainer.bin_tokens)
    kept = [parameter.detach().clone() for parameter in trainer.parameters]
    before, after = math.nan, math.nan
    fell = False
    try:
        for share in FALLS:
            losses = [_descend(trainer, bins, share) for _ in range(2)]
            before, after = losses[0], _loss(trainer, bins)
            fell = after < before * (1.0 - KEPT * share) or before < LEARNED
            _restore(trainer, kept)
            if fell or not math.isfinite(before):
                break
    finally:
        _restore(trainer, kept)
    return Fall(conversations=len(chosen), before=before, after=after, fell=fell)


def _chosen(trainer: Trainer) -> Sequence[Example]:
    """The shortest of the first step that teach something."""
    examples = sorted((each for each in trainer.steps.at(0) if each.targets), key=lambda each: each.tokens)
    chosen = list(examples[:1])
    for example in examples[1:CONVERSATIONS]:
        if sum(each.tokens for each in (*chosen, example)) <= MOST_TOKENS:
            chosen.append(example)
    return chosen


def _descend(trainer: Trainer, bins: Sequence[Bin], share: float) -> float:
    """One step against the gradient, as long as it takes to win `share` of the loss; returns the loss before it."""
    loss = _loss(trainer, bins, backward=True)
    gradients = [parameter.grad for parameter in trainer.parameters]
    square = sum(float(each.double().square().sum()) for each in gradients if each is not None)
    if math.isfinite(loss) and math.isfinite(square) and square > 0.0:
        with torch.no_grad():
            for parameter, gradient in zip(trainer.parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.sub_(gradient, alpha=share * loss / square)
    _forget(trainer)
    return loss


def _loss(trainer: Trainer, bins: Sequence[Bin], *, backward: bool = False) -> float:
    targets = sum(piece.targets for piece in bins)
    trainer.adapted.routing.begin_step(sum(valid_tokens(piece) for piece in bins), ramp=0.0)
    total = 0.0
    for piece in bins:
        loss = forward_loss(trainer.adapted, piece, scale=1.0 / max(1, targets))
        if backward:
            torch.autograd.backward(loss)
        total += float(loss.detach())
    return total


def _forget(trainer: Trainer) -> None:
    trainer.adapted.routing.discard_step()
    for parameter in trainer.parameters:
        parameter.grad = None


@torch.no_grad()
def _restore(trainer: Trainer, kept: Sequence[torch.Tensor]) -> None:
    for parameter, value in zip(trainer.parameters, kept, strict=True):
        parameter.copy_(value)
    _forget(trainer)
