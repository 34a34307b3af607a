"""What each artefact loses against the routed model, measured on the run's own validation conversations.

A static adapter is the mixture under constant gates, so the loaded model can stand in for each of them: no artefact has
to be written and read back to know its loss. What is measured here is compared once with the written files in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from engine.data.batches import Bin, make_bins
from engine.data.example import Example
from engine.model.adapters import Adapted
from engine.model.forward import evaluate_bin
from engine.model.gates import Fixed, GateOverride, Uniform
from engine.quality.gated import GatedLoss, gated_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Losses of the routed model and of its static stand-ins on the same conversations."""

    conversations: int
    targets: int
    routed: GatedLoss
    average: GatedLoss
    fixed: Mapping[str, GatedLoss]
    """By domain: the loss with that domain's mean gates."""


def domain_gates(
    adapted: Adapted, examples: Sequence[Example], domains: Sequence[str], bin_tokens: int
) -> dict[str, torch.Tensor]:
    """Mean gates over the tokens of each domain, (layers, experts) float32; a domain without examples is left out."""
    found: dict[str, torch.Tensor] = {}
    for index, name in enumerate(domains):
        own = [example for example in examples if example.domain_index == index]
        if not own:
            continue
        adapted.routing.sample_evaluation()
        for piece in make_bins(own, bin_tokens):
            evaluate_bin(adapted, piece)
        sample = adapted.routing.sample_evaluation()
        if sample is not None:
            found[name] = torch.tensor(sample.gate_mass, dtype=torch.float32)
    return found


def measure(
    adapted: Adapted,
    examples: Sequence[Example],
    domains: Sequence[str],
    bin_tokens: int,
    fixed: Mapping[str, torch.Tensor],
    progressed: Callable[[int, int], None] = lambda done, total: None,
) -> Gaps:
    """Evaluate the routed model, its average and each of `fixed` on `examples`."""
    bins = make_bins(examples, bin_tokens)
    gates: list[GateOverride | None] = [None, Uniform(), *(Fixed(table) for table in fixed.values())]
    losses = []
    for done, each in enumerate(gates):
        progressed(done, len(gates))
        losses.append(_loss(adapted, bins, domains, each))
    progressed(len(gates), len(gates))
    return Gaps(
        conversations=len({example.conversation for example in examples}),
        targets=sum(piece.targets for piece in bins),
        routed=losses[0],
        average=losses[1],
        fixed=dict(zip(fixed, losses[2:], strict=True)),
    )


def plain_loss(adapted: Adapted, examples: Sequence[Example], domains: Sequence[str], bin_tokens: int) -> GatedLoss:
    """The loss of a model as it is."""
    return _loss(adapted, make_bins(examples, bin_tokens), domains, None)


def _loss(adapted: Adapted, bins: Sequence[Bin], domains: Sequence[str], gates: GateOverride | None) -> GatedLoss:
    found = gated_loss(adapted, bins, domains, gates)
    assert found is not None  # nothing stops it
    return found
