"""moe_training_config.json: the adapters, the experts and how tokens are shared between them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.section import Name, Section


class MoeConfig(Section):
    """The shape of what is trained on top of the frozen base model."""

    adapter_mode: Literal["moe", "lora"] = Field(
        default="moe", description="moe: experts on the MLPs and LoRA on attention; lora: plain LoRA everywhere."
    )
    expert_mode: Literal["shared_a", "private"] = Field(
        default="shared_a",
        description="shared_a: the experts of a layer share one A matrix; private: each has its own.",
    )
    num_experts: int = Field(default=4, ge=1, le=64, description="Experts per layer.")
    top_k: int = Field(default=2, ge=1, le=64, description="Experts that act on each token.")
    lora_rank: int = Field(default=16, ge=1, le=1024, description="Rank of every adapter matrix.")
    lora_alpha: float = Field(
        default=32.0, gt=0, le=65536, description="Adapter scale: alpha / rank multiplies the update."
    )
    lora_dropout: float = Field(default=0.0, ge=0, lt=1, description="Only 0: see the message for another value.")
    load_balancing_weight: float = Field(
        default=0.01, ge=0, le=10, description="Weight of the balance loss; 0.05 where one expert takes over half."
    )
    load_balancing_ramp: float = Field(
        default=0.05, ge=0, le=1, description="Share of the steps over which that weight rises from 0."
    )
    usage_ema_decay: float = Field(
        default=0.9, ge=0, lt=1, description="Memory of the expert usage that the balance loss looks at."
    )
    router_init: Literal["prototypes", "normal"] = Field(
        default="prototypes", description="prototypes: routers start from the domains' mean hidden states."
    )
    prototype_conversations: int = Field(
        default=64, ge=1, le=100000, description="Conversations per domain that those means are taken over."
    )
    domain_source: Literal["auto", "cluster", "none"] = Field(
        default="auto",
        description="auto: the data's own domains, groups by wording where there are none; cluster: always such groups;"
        " none: no domains.",
    )
    domains: tuple[Name, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        max_length=1024,
        description="Domains that get a prototype, in order; null is every domain found in the data.",
    )
