"""What a view knows about the experts: samples of their routing, the alarms that stand, the examination at the end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """The largest or smallest share of any expert in any layer."""

    layer: int
    expert: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Routing, last sample of one source. Shares are of assignments and sum to 1."""

    step: int
    wall: float
    window_steps: int
    shares: tuple[float, ...]
    """(experts,): mean over layers of each layer's shares."""
    layer_shares: tuple[tuple[float, ...], ...]
    """(layers, experts)."""
    entropy: float
    """Mean over layers of the entropy of usage, nats; ln(experts) is balanced."""
    token_entropy: float | None
    balance_loss: float | None
    domains: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """domain -> (experts,): shares."""
    layer_entropy: tuple[float, ...] = ()
    """(layers,): entropy of usage, nats."""
    variation: float = 0.0
    """Mean over layers of the coefficient of variation of usage; 0 is balanced."""
    dominant: Extreme | None = None
    weakest: Extreme | None = None
    """The expert nearest to death."""
    gate_mass: tuple[float, ...] = ()
    """(experts,): mean over layers of the mean gate."""
    layer_gate_mass: tuple[tuple[float, ...], ...] = ()
    """(layers, experts)."""
    information: float | None = None
    """Mutual information of domain and expert, summed over layers first, nats; biased upwards in small samples."""


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
