"""How many parameters there are and how many of them train: the numbers a plan and a model card state."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.adapters import Adapted
from engine.model.spec import ATTENTION


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCounts:
    """Numbers of values, shared tensors counted once."""

    base: int
    attention: int
    experts: int
    """Adapters of the feed-forward linears, whatever the mode."""
    routers: int

    @property
    def trainable(self) -> int:
        """All that is trained."""
        return self.attention + self.experts + self.routers

    @property
    def share(self) -> float:
        """Trained values in relation to the base's."""
        return self.trainable / self.base


def parameter_counts(adapted: Adapted) -> ParameterCounts:
    """Count an adapted model; works on the meta device."""
    trained = adapted.parameters()
    own = {id(parameter) for parameter in trained.values()}
    sums = {"attention": 0, "experts": 0, "routers": 0}
    for name, parameter in trained.items():
        linear = name.split(".")[-2]
        part = "attention" if linear in ATTENTION else "routers" if linear == "router" else "experts"
        sums[part] += parameter.numel()
    base = sum(parameter.numel() for parameter in adapted.model.parameters() if id(parameter) not in own)
    return ParameterCounts(base=base, **sums)
