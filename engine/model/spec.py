"""What the adapters are: every choice that fixes their shapes, their arithmetic and their start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Linears of `self_attn`, by their Hugging Face names."""

FFN = ("gate_proj", "up_proj", "down_proj")
"""Linears of `mlp`, by their Hugging Face names."""


class AdapterMode(StrEnum):
    """Experts on the feed-forward linears, or one plain LoRA everywhere."""

    MOE = "moe"
    LORA = "lora"


class ExpertMode(StrEnum):
    """One A for all experts (HydraLoRA, arXiv 2404.19245), or an A of its own for each."""

    SHARED_A = "shared_a"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec:
    """The adapters' shape and start; two equal specs on one base give bit-equal parameters."""

    mode: AdapterMode = AdapterMode.MOE
    experts: ExpertMode = ExpertMode.SHARED_A
    num_experts: int = 4
    top_k: int = 2
    rank: int = 16
    alpha: float = 32.0
    balance_weight: float = 0.01
    """Weight of each layer's balance loss, Switch style: layers add up, they are not averaged."""
    usage_decay: float = 0.9
    """The usage EMA keeps this share of its old value at each optimizer step."""
    domains: tuple[str, ...] = ()
    seed: int = 42

    def __post_init__(self) -> None:
        # Configurations hold plain strings; one that is equal to a member but not it would fail every `is` in silence.
        object.__setattr__(self, "mode", AdapterMode(self.mode))
        object.__setattr__(self, "experts", ExpertMode(self.experts))
        if self.rank < 1:
            raise ValueError(f"lora_rank is {self.rank}: it must be at least 1")
        if self.mode is AdapterMode.LORA:
            return
        if self.num_experts < 2:
            raise ValueError(f"num_experts is {self.num_experts}: a mixture needs at least 2")
        if not 1 <= self.top_k <= self.num_experts:
            raise ValueError(
                f"top_k is {self.top_k}: it must lie between 1 and num_experts, which is {self.num_experts}"
            )

    @property
    def scale(self) -> float:
        """`s = alpha / rank`, the factor on every low-rank product."""
        return self.alpha / self.rank

    @property
    def routed(self) -> bool:
        """Whether there are experts and routers at all."""
        return self.mode is AdapterMode.MOE
