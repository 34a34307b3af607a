"""What a training process holds in memory once Init is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch.nn import Parameter
from transformers import PreTrainedTokenizerBase

from configs.schema import Config
from engine.checkpoint.space import checkpoint_bytes
from engine.data.ahead import Ahead
from engine.data.batches import Bin, Steps, make_bins
from engine.data.example import Example
from engine.data.prepare import Prepared, eval_subset
from engine.model.adapters import Adapted
from engine.training.pace import Pace
from engine.training.planned import Planned
from states.alarms import Watch


@dataclass(kw_only=True)
class Trainer:
    """The model with its adapters, the optimizer, the data in sampler order, and the measured pace."""

    config: Config
    adapted: Adapted
    tokenizer: PreTrainedTokenizerBase
    optimizer: torch.optim.Optimizer
    parameters: Sequence[Parameter]
    steps: Steps
    prepared: Prepared
    device: torch.device
    bin_tokens: int
    max_grad_norm: float
    pace: Pace
    plan: Planned
    runtime: dict[str, Any]
    """Threads, device, dtype, bin_tokens: recorded in every checkpoint and reapplied on resume."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """`log_history` of trainer_state.json."""
    watch: Watch = field(default_factory=Watch)
    """What is known to be wrong with the routing."""
    sampled_step: int = 0
    """Step of the newest routing sample in training, or the one that this process goes on from."""
    _packed: dict[int, Sequence[Bin]] = field(default_factory=dict)

    @cached_property
    def ahead(self) -> Ahead:
        """The bins of the steps, laid some steps ahead."""
        return Ahead(self.steps)

    @cached_property
    def subset(self) -> Sequence[Example]:
        """The fixed seeded part of the validation set that is evaluated in training."""
        return eval_subset(self.prepared.validation, self.plan.eval_subset_tokens, self.config.training.seed)

    @property
    def checkpoint_bytes(self) -> int:
        """Size of a checkpoint, at most."""
        return checkpoint_bytes(sum(parameter.numel() for parameter in self.parameters))

    def follow(self, plan: Planned) -> None:
        """Take a new plan, before the first step."""
        self.plan = plan
        self.pace.planned_step_s = plan.step_s

    @property
    def validation(self) -> Sequence[Example]:
        """Every validation example: evaluated before the first step and at the end."""
        return self.prepared.validation

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domain indices."""
        return self.prepared.domains

    @property
    def eval_every(self) -> int:
        """Optimizer steps between two evaluations."""
        return self.plan.eval_every

    def packed(self, examples: Sequence[Example]) -> Sequence[Bin]:
        """The bins of `subset` or `validation`, packed once for a size of bin."""
        # Both live as long as the trainer, so that identity tells them apart.
        if id(examples) not in self._packed:
            self._packed[id(examples)] = make_bins(examples, self.bin_tokens)
        return self._packed[id(examples)]

    def shrink_bins(self, tokens: int) -> None:
        """Use bins of at most `tokens` tokens from here on, and after a resume."""
        self.bin_tokens = self.runtime["bin_tokens"] = tokens
        self._packed.clear()

    def balance_ramp(self, step: int) -> float:
        """Share of the balance weight at `step`: it rises while the adapters leave their zero."""
        steps = self.config.moe.load_balancing_ramp * self.plan.planned_steps
        return 1.0 if steps < 1.0 else min(1.0, (step + 1) / steps)
