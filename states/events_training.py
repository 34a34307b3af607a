"""What happens in training: data, model, plan, steps, evaluations, checkpoints, time.

Part of the catalogue in `states.events`, which is what everybody imports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from states.phases import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPrepared:
    """The dataset as the trainer will see it. Token counts are of one epoch; `targets` are tokens that carry loss."""

    kind: ClassVar[str] = "data.prepared"
    train_conversations: int
    eval_conversations: int
    train_tokens: int
    train_targets: int
    eval_targets: int
    domains: dict[str, int]
    notes: tuple[str, ...] = ()
    waterfall: dict[str, int] = field(default_factory=dict)
    """Stage -> what was left after it: rows read, parsed, kept, examples, tokens, targets; both sides together."""
    domain_targets: dict[str, int] = field(default_factory=dict)
    """Tokens that carry loss, by domain of the training side."""
    length_edges: tuple[int, ...] = ()
    """Where the buckets of tokens per example begin; one more than there are counts where the last one is closed."""
    length_counts: tuple[int, ...] = ()
    """Training examples in each bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoaded:
    """The base model with its adapters is on the device."""

    kind: ClassVar[str] = "model.loaded"
    base_model: str
    architecture: str
    device: str
    dtype: str
    params: int
    trainable_params: int
    layers: int
    experts: int
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlanned:
    """What is going to be done and how long it should take. Emitted in Setup, and again in Init after measuring."""

    kind: ClassVar[str] = "run.planned"
    profile: str
    source: str
    """Where the throughput comes from: `assumed`, `history` or `measured`."""
    planned_steps: int
    warmup_steps: int
    epochs: float
    steps_per_epoch: int
    conversations_per_step: int
    tokens_per_step: int
    eval_every: int
    tokens_per_s: float
    estimated_s: dict[str, float]
    """Seconds by part: setup, training, evaluation, checkpoints, finalize."""
    changes: tuple[str, ...] = ()
    """Sentences: what the plan changed in the configuration, and why."""
    bin_tokens: int | None = None
    """Most tokens of a bin, as memory allows."""
    recompute: bool | None = None
    """Whether activations are computed again instead of kept."""
    memory_bytes: dict[str, int] = field(default_factory=dict)
    """What training should take, by part."""
    memory_limit: int | None = None
    """What the card or the machine has."""
    fits: bool = True
    """In the window and in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRestored:
    """A checkpoint was loaded; records of later steps belong to a lineage that ended."""

    kind: ClassVar[str] = "run.restored"
    checkpoint: str
    step: int
    tokens: int
    trained_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCompleted:
    """One optimizer step. `loss` is the mean over the step's target tokens; `grad_norm` is before clipping."""

    kind: ClassVar[str] = "step.completed"
    step: int
    epoch: float
    loss: float | None
    lr: float
    grad_norm: float | None
    tokens: int
    targets: int
    step_s: float
    data_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRejected:
    """The optimizer did not move because the loss or gradient was not finite; `streak` counts in a row."""

    kind: ClassVar[str] = "step.rejected"
    step: int
    why: str
    streak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalStarted:
    """An evaluation began; scope is `subset` in training and `full` at the end."""

    kind: ClassVar[str] = "eval.started"
    step: int
    scope: str
    conversations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalCompleted:
    """Mean loss over the validation targets, in nats per token. `interrupted` evaluations have no loss."""

    kind: ClassVar[str] = "eval.completed"
    step: int
    scope: str
    loss: float | None
    targets: int
    eval_s: float
    best: bool
    domains: dict[str, float | None]
    """Loss by domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStarted:
    """A checkpoint is being staged."""

    kind: ClassVar[str] = "checkpoint.started"
    step: int
    path: str
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCompleted:
    """A checkpoint is durable and hashed; `path` is relative to the run directory."""

    kind: ClassVar[str] = "checkpoint.completed"
    step: int
    path: str
    cause: Cause
    bytes: int
    save_s: float
    eval_loss: float | None = None
    best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFailed:
    """A save failed; training goes on."""

    kind: ClassVar[str] = "checkpoint.failed"
    step: int
    path: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPruned:
    """Retention removed a checkpoint."""

    kind: ClassVar[str] = "checkpoint.pruned"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSkipped:
    """A checkpoint did not verify on resume and was passed over."""

    kind: ClassVar[str] = "checkpoint.skipped"
    path: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineReplanned:
    """The horizon moved by more than 2%; `planned_steps` is the projected total from here on."""

    kind: ClassVar[str] = "deadline.replanned"
    step: int
    planned_steps: int
    step_s: float
    remaining_s: float | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineApproached:
    """Less than twice the reserve is left."""

    kind: ClassVar[str] = "deadline.approached"
    step: int
    remaining_s: float
    reserve_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineReached:
    """The reserve begins: training ends here."""

    kind: ClassVar[str] = "deadline.reached"
    step: int
    remaining_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopTriggered:
    """`patience` evaluations in a row did not improve on the best."""

    kind: ClassVar[str] = "early_stop.triggered"
    step: int
    loss: float | None
    best_loss: float | None
    best_step: int | None
    """None where no evaluation had a finite loss."""
    patience: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReduced:
    """Out of memory: the bin was reduced."""

    kind: ClassVar[str] = "memory.reduced"
    step: int
    old_bin_tokens: int
    new_bin_tokens: int
