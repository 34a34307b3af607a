"""training_config.json: which model learns from which data, in which steps, for how long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.section import Name, Section


class TrainingConfig(Section):
    """The model, the data and the optimisation."""

    base_model: Name = Field(
        description="Folder of a base model (relative to this file) or its Hugging Face id, like owner/name."
    )
    chat_template: Name | None = Field(
        default=None, description="Jinja file with the chat template, for a base model that brings none."
    )
    dataset: Name = Field(
        default="training_dataset.json", description="Conversations to train on, relative to this file."
    )
    validation_dataset: Name | None = Field(
        default=None, description="Conversations to validate on; null sets eval_fraction of the data set aside."
    )
    eval_fraction: float = Field(
        default=0.1, gt=0, le=0.5, description="Share of the data set aside for validation where no file is given."
    )
    output_dir: Name = Field(
        default="therapeutic_moe_model",
        description="Folder of the run: checkpoints, journal, report; relative to the working directory.",
    )
    num_train_epochs: int = Field(
        default=3, ge=1, le=1000, description="Passes through the data; 2 to 4 is usual for LoRA."
    )
    per_device_train_batch_size: int = Field(
        default=4, ge=1, le=65536, description="Conversations taken together; 2 to 8 on an H100."
    )
    gradient_accumulation_steps: int = Field(
        default=8, ge=1, le=65536, description="Batches per optimizer step; batch size times this is the step."
    )
    learning_rate: float = Field(
        default=3e-4, gt=0, le=1, description="Peak learning rate of the adapters; 1e-4 to 3e-4 is usual for LoRA."
    )
    router_learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="Peak learning rate of the routers; null is a tenth of learning_rate."
    )
    warmup_steps: int = Field(
        default=1000, ge=0, le=10**9, description="Steps of linear rise from 0; the plan caps it at 10% of the run."
    )
    weight_decay: float = Field(
        default=0.01, ge=0, le=1, description="AdamW weight decay; LoRA B matrices and routers never decay."
    )
    adam_beta1: float = Field(default=0.9, ge=0, lt=1, description="AdamW decay of the gradient's mean.")
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="AdamW decay of the gradient's square.")
    adam_epsilon: float = Field(default=1e-8, gt=0, le=1e-2, description="AdamW denominator offset.")
    max_length: int = Field(
        default=2048, ge=32, le=1048576, description="Tokens per training example; longer conversations are split."
    )
    bin_tokens: int = Field(
        default=8192,
        ge=32,
        le=1048576,
        description="Tokens per packed bin: sets the memory needed, not the result. At least max_length.",
    )
    eval_steps: int = Field(default=500, ge=1, le=10**9, description="Steps between evaluations.")
    save_total_limit: int = Field(
        default=5, ge=1, le=10000, description="Checkpoints kept; the best one is kept besides."
    )
    logging_steps: int = Field(default=10, ge=1, le=10**9, description="Steps between lines in training.log.")
    optimization_priority: Literal["fast", "balanced", "quality", "memory_efficient"] = Field(
        default="balanced", description="Profile the planner starts from."
    )
    max_training_hours: float = Field(
        default=12.0, gt=0, le=8760, description="The window: training and finalisation end within these hours."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations to save memory, at about 1.5 times the compute."
    )
    seed: int = Field(
        default=42, ge=0, le=2**63 - 1, description="Seed of the split, the order and the initial adapters."
    )
    threads: int | None = Field(
        default=None, ge=1, le=4096, description="CPU threads of the engine; null is every core it may use."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Precision of the frozen base model; auto is bfloat16 on a GPU, float32 on a CPU."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where to train; auto is the GPU where there is one."
    )

    @property
    def conversations_per_step(self) -> int:
        """Conversations in one optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    @property
    def peak_router_learning_rate(self) -> float:
        """The routers' peak: a tenth of the adapters' unless stated."""
        return self.learning_rate / 10 if self.router_learning_rate is None else self.router_learning_rate
