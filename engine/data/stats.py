"""What a data set amounts to in tokens: lengths, targets and domains of each side, and what was lost on the way."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from engine.data.example import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long things are; percentiles are nearest-rank, so each is a length that occurs."""

    minimum: int
    average: float
    maximum: int
    p50: int
    p95: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Self:
        """The spread of some lengths; all zero for none."""
        if not values:
            return cls(minimum=0, average=0.0, maximum=0, p50=0, p95=0)
        ranked = sorted(values)

        def percentile(share: float) -> int:
            return ranked[max(0, math.ceil(share * len(ranked)) - 1)]

        return cls(
            minimum=ranked[0],
            average=sum(ranked) / len(ranked),
            maximum=ranked[-1],
            p50=percentile(0.5),
            p95=percentile(0.95),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SideStats:
    """Training or validation, per epoch."""

    conversations: int
    examples: int
    tokens: int
    targets: int
    """Tokens that carry loss."""
    lengths: Spread
    """Tokens per example."""
    domains: dict[str, int]
    """Conversations by domain."""
    domain_targets: dict[str, int]
    """Targets by domain: what each domain teaches."""

    @classmethod
    def of(cls, examples: Sequence[Example], domains: Sequence[str]) -> Self:
        """Statistics of rendered examples; `domains` names their indices."""
        conversations = {example.conversation: example.domain_index for example in examples}
        by_domain = Counter(conversations.values())
        targets: Counter[int] = Counter()
        for example in examples:
            targets[example.domain_index] += example.targets
        return cls(
            conversations=len(conversations),
            examples=len(examples),
            tokens=sum(example.tokens for example in examples),
            targets=targets.total(),
            lengths=Spread.of([example.tokens for example in examples]),
            domains={name: by_domain[index] for index, name in enumerate(domains)},
            domain_targets={name: targets[index] for index, name in enumerate(domains)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One line of the waterfall: how much was left after a stage."""

    name: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStats:
    """Both sides, and the way there from rows to targets."""

    waterfall: tuple[Stage, ...]
    train: SideStats
    validation: SideStats
