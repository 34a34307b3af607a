"""What happens to the experts: samples of the routing, alarms about it, and the examination after training.

Part of the catalogue in `states.events`, which is what everybody imports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsSampled:
    """Token counts per layer and expert over `window_steps` steps (train) or over one evaluation (eval)."""

    kind: ClassVar[str] = "experts.sampled"
    step: int
    source: str
    """`train` or `eval`."""
    window_steps: int
    counts: tuple[tuple[int, ...], ...]
    """(layers, experts): assignments, each token counts top_k times."""
    token_entropy: tuple[float | None, ...]
    """(layers,): mean entropy of the router's distribution, nats."""
    balance_loss: float | None
    """Mean over layers of E * sum_e F_e P_e; 1.0 is balanced."""
    domains: dict[str, tuple[int, ...]]
    """domain -> (experts,): assignments summed over layers."""
    gate_mass: tuple[tuple[float, ...], ...] = ()
    """(layers, experts): mean gate over tokens, rows sum to 1; above the usage where an expert is trusted more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsAlarmed:
    """A rule about the routing was broken, spread to another layer, or holds again (`raised` is False)."""

    kind: ClassVar[str] = "experts.alarmed"
    step: int
    source: str
    """`train` or `eval`: which samples tell."""
    rule: str
    """`dominant`, `collapse`, `starved` or `uneven`."""
    level: str
    """`warn` or `bad`; `good` where it holds again."""
    raised: bool
    layers: tuple[int, ...]
    """Layers that break the rule now; empty where it is about the mean over layers."""
    layer: int | None
    """The worst of them; None for the mean over layers."""
    expert: int | None
    """Which expert, where the rule is about one."""
    value: float
    """What was measured: a share of the tokens, or an entropy in nats."""
    limit: float
    remedy: str = ""
    """One sentence: what a person can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsExamined:
    """What experts and routers are worth, measured on a seeded part of the validation set after training.

    Losses are means over target tokens in nats; None where there were no targets or the loss was not finite.
    """

    kind: ClassVar[str] = "experts.examined"
    step: int
    conversations: int
    """How many the losses are over."""
    of_conversations: int
    """How many the validation set has; mutual information is over these."""
    tokens: int
    targets: int
    examine_s: float
    routed: float | None
    """Loss with the trained routers."""
    average: float | None
    """Loss with uniform gates: the exported standard adapter."""
    forced: tuple[float | None, ...] = ()
    """(experts,): loss when every token goes to this one expert."""
    ablated: tuple[float | None, ...] = ()
    """(experts,): loss when this expert is silenced and nothing put in its place."""
    routed_domains: dict[str, float | None] = field(default_factory=dict)
    average_domains: dict[str, float | None] = field(default_factory=dict)
    forced_domains: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    """domain -> (experts,): the causal matrix."""
    ablated_domains: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    mutual_information: float | None = None
    """Between domain and expert, mean over layers, nats; None with fewer than two domains."""
    permuted_mean: float | None = None
    """Its mean when the domains are permuted over conversations: what chance alone gives."""
    permuted_p99: float | None = None
    """99th percentile of the same."""
    permutations: int = 0
    layer_information: tuple[float, ...] = ()
    """(layers,): mutual information of each layer."""
    similarity: tuple[tuple[float, ...], ...] = ()
    """(experts, experts): cosine between the experts' updates, mean over layers and linears."""
    layer_similarity: tuple[float, ...] = ()
    """(layers,): mean cosine over pairs of experts."""
    norms: tuple[tuple[float, ...], ...] = ()
    """(layers, experts): Frobenius norm of s * B A over the layer's expert linears."""
    attention_norms: tuple[float, ...] = ()
    """(layers,): the same of the attention's adapters."""
