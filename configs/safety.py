"""safety_config.json: what ends a run, what guards it, and what happens after it."""

from __future__ import annotations

from pydantic import Field

from configs.section import Name, Section


class SafetyConfig(Section):
    """Limits and guards. Of these only the gradient clip changes what a step computes."""

    max_training_hours: float | None = Field(
        default=None,
        gt=0,
        le=8760,
        description="The window in hours; if training_config.json states one too, the same.",
    )
    checkpoint_interval_minutes: float = Field(
        default=30.0, gt=0, le=10080, description="Minutes between checkpoints: the most work a crash can cost."
    )
    early_stopping_patience: int = Field(
        default=3, ge=1, le=10000, description="Evaluations in a row without improvement after which training ends."
    )
    max_grad_norm: float = Field(default=1.0, gt=0, le=1e6, description="Gradients are scaled down to this norm.")
    enable_time_constraints: bool = Field(
        default=True, description="false: train the planned steps however long they take."
    )
    enable_early_stopping: bool = Field(default=True, description="false: ignore early_stopping_patience.")
    reserve_minutes: float | None = Field(
        default=None,
        ge=0,
        le=525600,
        description="Kept free at the end for evaluation, export and report; null is 1/24 of the window.",
    )
    on_finish: tuple[Name, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        max_length=1024,
        description='Command run after the end, as a list of words: ["sh", "-c", "sudo poweroff"].',
    )
    on_finish_timeout_s: float = Field(default=600.0, gt=0, le=86400, description="Seconds that command may take.")
    max_rejected_steps: int = Field(
        default=3, ge=1, le=10000, description="Steps in a row with a non-finite gradient before the run fails."
    )
