"""What a view knows about the experts: samples of their routing, the alarms that stand, the examination at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from states.events_experts import ExpertsSampled
from states.routing import columns, entropy, mean, mean_known, mutual_information, shares, variation


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """The largest or smallest share of any expert in any layer."""

    layer: int
    expert: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Routing, last sample of one source. Shares are of assignments and sum to 1.

    Held are the sample and what its curves need; the rest is worked out for whoever asks.
    """

    sample: ExpertsSampled
    wall: float
    shares: tuple[float, ...]
    """(experts,): mean over layers of each layer's shares."""
    layer_shares: tuple[tuple[float, ...], ...]
    """(layers, experts), without layers that routed nothing."""
    entropy: float
    """Mean over layers of the entropy of usage, nats; ln(experts) is balanced."""
    layer_entropy: tuple[float, ...]
    """(layers,): entropy of usage, nats."""

    @property
    def step(self) -> int:
        """The step of the sample."""
        return self.sample.step

    @property
    def window_steps(self) -> int:
        """Steps it is over; 0 for an evaluation."""
        return self.sample.window_steps

    @property
    def balance_loss(self) -> float | None:
        """Mean over layers of E * sum_e F_e P_e; 1.0 is balanced."""
        return self.sample.balance_loss

    @property
    def token_entropy(self) -> float | None:
        """Mean over layers of the entropy of the router's distribution, nats."""
        return mean_known(self.sample.token_entropy)

    @property
    def domains(self) -> dict[str, tuple[float, ...]]:
        """Domain -> (experts,): shares, of the domains that were seen."""
        width, counted = len(self.shares), self.sample.domains
        return {name: share for name, counts in counted.items() if (share := shares(counts, width))}

    @property
    def variation(self) -> float:
        """Mean over layers of the coefficient of variation of usage; 0 is balanced."""
        return mean([variation(share) for share in self.layer_shares])

    @property
    def dominant(self) -> Extreme:
        """The largest share of any expert in any layer."""
        return _extreme(self.layer_shares, max)

    @property
    def weakest(self) -> Extreme:
        """The expert nearest to death."""
        return _extreme(self.layer_shares, min)

    @property
    def layer_gate_mass(self) -> tuple[tuple[float, ...], ...]:
        """(layers, experts): mean gate over tokens; empty in journals that have none."""
        width = len(self.shares)
        return tuple(row for row in self.sample.gate_mass if len(row) == width and all(map(math.isfinite, row)))

    @property
    def gate_mass(self) -> tuple[float, ...]:
        """(experts,): mean over layers of the mean gate."""
        return columns(self.layer_gate_mass)

    @property
    def information(self) -> float | None:
        """Mutual information of domain and expert, summed over layers first, nats; biased upwards in small samples."""
        return mutual_information(tuple(self.sample.domains.values()))


def experts(sample: ExpertsSampled, wall: float) -> Experts | None:
    """Shares and entropies of one sample; `None` when no layer routed any token."""
    width = max(map(len, sample.counts), default=0)
    layers = tuple(filter(None, [shares(counts, width) for counts in sample.counts]))
    if not layers:
        return None
    entropies = tuple(map(entropy, layers))
    return Experts(
        sample=sample,
        wall=wall,
        shares=columns(layers),
        layer_shares=layers,
        entropy=mean(entropies),
        layer_entropy=entropies,
    )


def _extreme(layers: Sequence[Sequence[float]], choose: Callable[..., float]) -> Extreme:
    of_layer = [choose(layer) for layer in layers]
    value = choose(of_layer)
    layer = of_layer.index(value)
    return Extreme(layer=layer, expert=layers[layer].index(value), share=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A rule about the routing that is broken now; the fields are those of `experts.alarmed`."""

    step: int
    wall: float
    source: str
    rule: str
    level: str
    layers: tuple[int, ...]
    layer: int | None
    expert: int | None
    value: float
    limit: float
    remedy: str

    @property
    def overall(self) -> bool:
        """Whether it is about the mean over layers."""
        return self.layer is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Facts of `experts.examined`, by the same names."""

    step: int
    conversations: int
    of_conversations: int
    tokens: int
    targets: int
    examine_s: float
    routed: float | None
    average: float | None
    forced: tuple[float | None, ...] = ()
    ablated: tuple[float | None, ...] = ()
    routed_domains: dict[str, float | None] = field(default_factory=dict)
    average_domains: dict[str, float | None] = field(default_factory=dict)
    forced_domains: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    ablated_domains: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    mutual_information: float | None = None
    permuted_mean: float | None = None
    permuted_p99: float | None = None
    permutations: int = 0
    layer_information: tuple[float, ...] = ()
    similarity: tuple[tuple[float, ...], ...] = ()
    layer_similarity: tuple[float, ...] = ()
    norms: tuple[tuple[float, ...], ...] = ()
    attention_norms: tuple[float, ...] = ()

    @property
    def gap(self) -> float | None:
        """Loss that routing saves over the uniform average, nats per token; negative where the average is better."""
        return None if self.routed is None or self.average is None else self.average - self.routed
