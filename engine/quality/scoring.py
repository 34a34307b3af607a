"""How likely the therapist's turns of many examples are, by the same packed forward that training evaluates with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from engine.data.batches import make_bins
from engine.data.example import Example
from engine.model.adapters import Adapted
from engine.model.forward import evaluate_bin
from engine.quality.speaker import Interrupted, Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """By example, on the host."""

    nll: torch.Tensor
    """(examples,) float64: nats over the example's targets."""
    targets: torch.Tensor
    """(examples,) int64."""
    assignments: torch.Tensor
    """(layers, examples, experts) int64: what the routers chose over all of its tokens."""

    @property
    def loss(self) -> float:
        """Mean nats over all targets."""
        return float(self.nll.sum() / self.targets.sum())


def score(
    adapted: Adapted,
    examples: Sequence[Example],
    *,
    bin_tokens: int,
    stop: Stop = lambda: False,
    progressed: Callable[[int], None] = lambda done: None,
) -> Scored:
    """Score them; bins change memory, not the result. `progressed` hears how many examples are done.

    Raises `Interrupted` between two bins once `stop` says so.
    """
    num, routing = len(examples), adapted.routing
    nll = torch.zeros(num, dtype=torch.float64)
    targets = torch.zeros(num, dtype=torch.int64)
    assignments = torch.zeros(routing.num_layers, num, routing.num_experts, dtype=torch.int64)
    longest = max((example.tokens for example in examples), default=0)
    done = 0
    for piece in make_bins(examples, max(bin_tokens, longest)):
        if stop():
            raise Interrupted
        found = evaluate_bin(adapted, piece)
        places = torch.tensor(piece.examples)
        nll[places], targets[places] = found.nll, found.targets
        assignments[:, places] = found.assignments
        done += len(piece.examples)
        progressed(done)
    # What was counted on the way is told by `assignments`; the routers' own book is left empty.
    routing.sample_evaluation()
    return Scored(nll=nll, targets=targets, assignments=assignments)
