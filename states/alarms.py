"""When routing deserves a person's attention: rules with a limit, a margin before they clear, and a remedy each.

An alarm is told once when a layer has crossed its limit, not with every sample after it, and once more when no layer
breaks the rule any longer. Between the limit and the margin behind it nothing changes, so that a value that trembles
around a limit rings once; and a window of few steps swings, so that a layer must break a rule twice in a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from states.events import ExpertsAlarmed, ExpertsSampled
from states.mixture import Experts, experts

LEAST_ASSIGNMENTS = 400
"""Fewer in a layer and its shares are noise: at this number a share of 5% has a standard error of 1%."""

REMEDIES = {
    "dominant": "if it lasts, start again with load_balancing_weight five times higher; see docs/experts.md",
    "collapse": "this run trains one adapter, not a mixture: start again with load_balancing_weight five times higher",
    "starved": "if it lasts, it hardly trains: start again with a higher load_balancing_weight, or with fewer experts",
    "uneven": "usual while the adapters settle in; if it lasts, raise load_balancing_weight in a new run",
}
"""What to do about a broken rule, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where alarms ring and where they clear again. For four experts: 50%, 5%, 0.5 and 1.30 nats."""

    num_experts: int

    @property
    def dominant(self) -> float:
        """A share above this: a third of the way from an even share to everything."""
        even = 1.0 / self.num_experts
        return even + (1.0 - even) / 3.0

    @property
    def starved(self) -> float:
        """A share below this: a fifth of an even one."""
        return 0.2 / self.num_experts

    @property
    def collapse(self) -> float:
        """An entropy of usage below this, nats."""
        return 0.5 * math.log(self.num_experts) / math.log(4)

    @property
    def uneven(self) -> float:
        """The same, long before it is a collapse."""
        return 1.30 * math.log(self.num_experts) / math.log(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    limit: float
    clear: float
    """The rule holds again once the value is on the good side of this."""
    below: bool
    """Whether it is broken below the limit, not above it."""

    def broken(self, value: float, *, already: bool) -> bool:
        edge = self.clear if already else self.limit
        return value < edge if self.below else value > edge


def _rules(num_experts: int) -> tuple[_Rule, ...]:
    limits = Limits(num_experts=num_experts)
    high, low = limits.dominant, limits.starved
    return (
        _Rule(name="collapse", limit=limits.collapse, clear=1.2 * limits.collapse, below=True),
        _Rule(name="dominant", limit=high, clear=0.95 * high, below=False),
        _Rule(name="starved", limit=low, clear=1.3 * low, below=True),
        _Rule(name="uneven", limit=limits.uneven, clear=1.02 * limits.uneven, below=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    layer: int | None
    expert: int | None
    value: float


Key = tuple[str, str, int | None]
"""Source of the samples, rule, layer (None is the mean over layers)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is broken at the moment. The mean over layers rings at once; a layer when two samples in a row agree."""

    broken: frozenset[Key] = field(default_factory=frozenset)
    doubtful: frozenset[Key] = field(default_factory=frozenset)
    """Layers that broke a rule in the last sample and not in the one before."""

    def after(self, sample: ExpertsSampled) -> tuple[Watch, tuple[ExpertsAlarmed, ...]]:
        """The watch after one more sample, and what is to be told about it."""
        width = max(map(len, sample.counts), default=0)
        if width < 2 or min(map(sum, sample.counts), default=0) < LEAST_ASSIGNMENTS:
            return self, ()
        routing = experts(sample, 0.0)
        assert routing is not None, "a sample without assignments was passed over before"
        broken = {key for key in self.broken if key[0] != sample.source}
        doubtful = {key for key in self.doubtful if key[0] != sample.source}
        told: list[ExpertsAlarmed] = []
        for rule in _rules(width):
            for readings in _readings(rule, routing):
                overall = readings[0].layer is None
                before = {
                    key for key in self.broken if key[:2] == (sample.source, rule.name) and (key[2] is None) == overall
                }
                found: dict[Key, _Reading] = {}
                for each in readings:
                    key = (sample.source, rule.name, each.layer)
                    if not rule.broken(each.value, already=key in before):
                        continue
                    if overall or key in before or key in self.doubtful:
                        found[key] = each
                    else:
                        doubtful.add(key)
                broken |= found.keys()
                if found.keys() - before:
                    told.append(_alarm(sample, rule, list(found.values()), raised=True))
                elif before and not found:
                    told.append(_alarm(sample, rule, readings, raised=False))
        return Watch(broken=frozenset(broken), doubtful=frozenset(doubtful)), tuple(told)


def _readings(rule: _Rule, routing: Experts) -> Iterator[list[_Reading]]:
    """What a rule looks at: the mean over layers, then each layer; the two are told apart."""
    layers = routing.layer_shares
    mass = routing.layer_gate_mass if len(routing.layer_gate_mass) == len(layers) else layers
    if rule.name in ("collapse", "uneven"):
        yield [_Reading(layer=None, expert=None, value=routing.entropy)]
        yield [_Reading(layer=i, expert=None, value=value) for i, value in enumerate(routing.layer_entropy)]
    elif rule.name == "starved":
        yield [_least(None, routing.shares)]
        yield [_least(index, share) for index, share in enumerate(layers)]
    else:
        # With top-2 no share of assignments can pass one half; the gates say who carries the tokens.
        gates = routing.gate_mass if len(routing.gate_mass) == len(routing.shares) else routing.shares
        yield [max(_most(None, routing.shares), _most(None, gates), key=lambda each: each.value)]
        pairs = zip(layers, mass, strict=True)
        yield [max(_most(i, a), _most(i, b), key=lambda each: each.value) for i, (a, b) in enumerate(pairs)]


def _most(layer: int | None, share: Sequence[float]) -> _Reading:
    expert = max(range(len(share)), key=share.__getitem__)
    return _Reading(layer=layer, expert=expert, value=share[expert])


def _least(layer: int | None, share: Sequence[float]) -> _Reading:
    expert = min(range(len(share)), key=share.__getitem__)
    return _Reading(layer=layer, expert=expert, value=share[expert])


def _level(rule: _Rule, worst: _Reading) -> str:
    """One layer of many is worth a look; a mean over all of them that breaks a rule is a spoilt run."""
    return "warn" if rule.name == "uneven" or worst.layer is not None else "bad"


def _alarm(sample: ExpertsSampled, rule: _Rule, readings: Sequence[_Reading], *, raised: bool) -> ExpertsAlarmed:
    worst = (min if rule.below else max)(readings, key=lambda each: each.value)
    return ExpertsAlarmed(
        step=sample.step,
        source=sample.source,
        rule=rule.name,
        level=_level(rule, worst) if raised else "good",
        raised=raised,
        layers=tuple(each.layer for each in readings if each.layer is not None) if raised else (),
        layer=worst.layer,
        expert=worst.expert,
        value=worst.value,
        limit=rule.limit,
        remedy=REMEDIES[rule.name] if raised else "",
    )
