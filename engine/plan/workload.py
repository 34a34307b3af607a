"""What a plan is made from: the settled configuration and the counted data, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

from configs.schema import Config
from states.budget import RESERVE_SHARE
from states.events import DataPrepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The work as it was asked for. Tokens of one epoch; seconds; `window_s` None is a run without a time limit."""

    profile: str
    train_examples: int
    train_tokens: int
    eval_tokens: int
    """Tokens of the whole validation set."""
    eval_examples: int
    batch_size: int
    accumulation: int
    max_length: int
    epochs: int
    warmup_steps: int
    eval_every: int
    checkpoint_interval_s: float
    window_s: float | None
    reserve_s: float
    """Kept for Finalize at least; more where its expected cost is higher."""
    examined: bool = False
    """Whether there are experts, which Finalize examines."""

    def __post_init__(self) -> None:
        if self.train_examples < 1 or self.train_tokens < 1:
            raise ValueError("there is nothing to train on")

    @property
    def conversations_per_step(self) -> int:
        """Conversations in one optimizer step."""
        return self.batch_size * self.accumulation

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch; its last one may be smaller."""
        return -(-self.train_examples // self.conversations_per_step)

    @property
    def steps(self) -> int:
        """Optimizer steps of all epochs asked for."""
        return self.epochs * self.steps_per_epoch

    @property
    def eval_example_tokens(self) -> int:
        """Tokens of a validation example, on average."""
        return -(-self.eval_tokens // self.eval_examples)

    def tokens(self, steps: int) -> int:
        """Training tokens in `steps` steps."""
        return self.train_tokens * steps // self.steps_per_epoch


def from_config(
    config: Config, facts: DataPrepared, *, eval_tokens: int, window_s: float | None, eval_examples: int | None = None
) -> Workload:
    """Return the work that a configuration asks for on this data; `window_s` counts from the opening of the window."""
    training, safety = config.training, config.safety
    share = 0.0 if window_s is None else window_s * RESERVE_SHARE
    return Workload(
        profile=training.optimization_priority,
        train_examples=facts.train_conversations,
        train_tokens=facts.train_tokens,
        eval_tokens=eval_tokens,
        eval_examples=max(1, facts.eval_conversations if eval_examples is None else eval_examples),
        batch_size=training.per_device_train_batch_size,
        accumulation=training.gradient_accumulation_steps,
        max_length=training.max_length,
        epochs=training.num_train_epochs,
        warmup_steps=training.warmup_steps,
        eval_every=training.eval_steps,
        checkpoint_interval_s=safety.checkpoint_interval_minutes * 60.0,
        window_s=window_s,
        reserve_s=share if safety.reserve_minutes is None else safety.reserve_minutes * 60.0,
        examined=config.moe.adapter_mode == "moe",
    )
