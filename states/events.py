"""The event catalogue: every fact a run can record, in the past tense, one frozen dataclass each.

Events carry ids, counts and numbers, never conversation text, and nothing that can be derived from other events.
A float that was not finite is `None`. Evolution is additive: fields are only ever added, with a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Union, get_args

from states.phases import Cause, Outcome, Phase, Reason, Trigger

SCHEMA = 1
"""Version of the journal's format, written once per attempt in `log.opened`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOpened:
    """An engine process opened the journal; `attempt` counts from 1, a resume is the next attempt."""

    kind: ClassVar[str] = "log.opened"
    schema: int
    run_id: str
    attempt: int
    pid: int
    host: str
    boot_id: str
    version: str
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfigured:
    """The resolved configuration and the paid window: absolute instants, fixed at the first start."""

    kind: ClassVar[str] = "run.configured"
    config: dict[str, Any]
    config_hash: str
    opened_wall: float
    deadline_wall: float | None
    reserve_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted:
    """A piece of work outside the steps began (read dataset, load base model, ...); `total` where it can be counted."""

    kind: ClassVar[str] = "task.started"
    task: str
    detail: str = ""
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgressed:
    """Progress inside the running task, at most a few times a second."""

    kind: ClassVar[str] = "task.progressed"
    task: str
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted:
    """The task ended after `task_s` seconds."""

    kind: ClassVar[str] = "task.completed"
    task: str
    task_s: float
    detail: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRestored:
    """A checkpoint was loaded; records of later steps belong to a lineage that ended."""

    kind: ClassVar[str] = "run.restored"
    checkpoint: str
    step: int
    tokens: int
    trained_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChanged:
    """The lifecycle moved."""

    kind: ClassVar[str] = "phase.changed"
    old: Phase
    new: Phase
    trigger: Trigger
    step: int
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPaused:
    """Training holds; the window goes on."""

    kind: ClassVar[str] = "run.paused"
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUnpaused:
    """Training goes on after `paused_s` seconds."""

    kind: ClassVar[str] = "run.unpaused"
    step: int
    paused_s: float


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One card as NVML sees it. Bytes, percent, watts, degrees Celsius, MHz."""

    index: int
    uuid: str
    name: str
    memory_used: int
    memory_total: int
    utilisation: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    sm_mhz: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSampled:
    """The cards this run uses."""

    kind: ClassVar[str] = "gpu.sampled"
    devices: tuple[GpuDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSampled:
    """Host load. `cpu_percent` over all cores, `process_percent` of one core; bytes otherwise."""

    kind: ClassVar[str] = "host.sampled"
    cpu_percent: float
    process_percent: float
    rss: int
    memory_used: int
    memory_total: int
    disk_free: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReceived:
    """A command was accepted; `via` is `socket` or `signal`, `by` the peer's pid."""

    kind: ClassVar[str] = "command.received"
    id: str
    command: str
    args: dict[str, Any]
    via: str
    by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandApplied:
    """The loop obeyed."""

    kind: ClassVar[str] = "command.applied"
    id: str
    command: str
    step: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRejected:
    """The loop refused, or the run ended first (`expired`)."""

    kind: ClassVar[str] = "command.rejected"
    id: str
    command: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAttached:
    """A viewer connected."""

    kind: ClassVar[str] = "client.attached"
    pid: int
    uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDetached:
    """A viewer left."""

    kind: ClassVar[str] = "client.detached"
    pid: int
    uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkDisabled:
    """A subscriber failed and was switched off; training goes on."""

    kind: ClassVar[str] = "sink.disabled"
    sink: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLogged:
    """A warning or error from a library or from Stint itself."""

    kind: ClassVar[str] = "message.logged"
    level: str
    logger: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """An exception ended the run."""

    kind: ClassVar[str] = "run.failed"
    error_type: str
    message: str
    traceback: str
    phase: Phase
    step: int
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped:
    """The last record of an attempt."""

    kind: ClassVar[str] = "run.stopped"
    outcome: Outcome
    reason: Reason
    step: int
    tokens: int
    trained_s: float
    paused_s: float
    wall_s: float
    exit_code: int
    best_loss: float | None = None
    best_step: int | None = None
    checkpoint: str | None = None


Event = Union[  # noqa: UP007  (get_args needs the union as a value)
    LogOpened,
    RunConfigured,
    TaskStarted,
    TaskProgressed,
    TaskCompleted,
    DataPrepared,
    ModelLoaded,
    RunPlanned,
    RunRestored,
    PhaseChanged,
    RunPaused,
    RunUnpaused,
    StepCompleted,
    StepRejected,
    EvalStarted,
    EvalCompleted,
    CheckpointStarted,
    CheckpointCompleted,
    CheckpointFailed,
    CheckpointPruned,
    CheckpointSkipped,
    ExpertsSampled,
    GpuSampled,
    HostSampled,
    DeadlineReplanned,
    DeadlineApproached,
    DeadlineReached,
    EarlyStopTriggered,
    MemoryReduced,
    CommandReceived,
    CommandApplied,
    CommandRejected,
    ClientAttached,
    ClientDetached,
    SinkDisabled,
    MessageLogged,
    RunFailed,
    RunStopped,
]

KINDS: dict[str, type[Any]] = {cls.kind: cls for cls in get_args(Event)}
"""kind -> class, for the codec."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record of a newer Stint: kept, shown as its kind, never fatal."""

    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One journal line: gapless `seq` over all attempts, Unix and monotonic seconds, and the event."""

    seq: int
    wall: float
    mono: float
    event: Event | Unknown
