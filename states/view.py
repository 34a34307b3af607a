"""RunView: all that a screen, a status line or a report may show of a run, folded from its journal.

Frozen values only. `reducer.reduce` is the only code that makes a new view from an old one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

from states.events import GpuDevice
from states.mixture import Alarm, Examination
from states.mixture import Experts as Experts
from states.phases import Cause, Outcome, Phase, Reason
from states.progress import RECENT as RECENT
from states.progress import Progress as Progress
from states.series import Series

FEED_LENGTH = 200
"""Lines kept in the event feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who runs: filled by `log.opened`."""

    run_id: str = ""
    attempt: int = 0
    pid: int = 0
    host: str = ""
    boot_id: str = ""
    version: str = ""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The paid hours, as absolute Unix seconds."""

    opened_wall: float | None = None
    deadline_wall: float | None = None
    reserve_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Work outside the steps that is going on (load base model, evaluate, ...)."""

    name: str = ""
    detail: str = ""
    done: int | None = None
    total: int | None = None
    started_wall: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Facts of `data.prepared`."""

    train_conversations: int = 0
    eval_conversations: int = 0
    train_tokens: int = 0
    train_targets: int = 0
    eval_targets: int = 0
    domains: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    waterfall: dict[str, int] = field(default_factory=dict)
    domain_targets: dict[str, int] = field(default_factory=dict)
    length_edges: tuple[int, ...] = ()
    length_counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Facts of `model.loaded`."""

    base_model: str = ""
    architecture: str = ""
    device: str = ""
    dtype: str = ""
    params: int = 0
    trainable_params: int = 0
    layers: int = 0
    experts: int = 0
    top_k: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The newest plan. `planned_steps` follows `deadline.replanned`; `original_steps` is what was first planned."""

    profile: str = ""
    source: str = ""
    planned_steps: int = 0
    original_steps: int = 0
    warmup_steps: int = 0
    epochs: float = 0.0
    steps_per_epoch: int = 0
    conversations_per_step: int = 0
    tokens_per_step: int = 0
    eval_every: int = 0
    tokens_per_s: float = 0.0
    estimated_s: dict[str, float] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    bin_tokens: int | None = None
    recompute: bool | None = None
    memory_bytes: dict[str, int] = field(default_factory=dict)
    memory_limit: int | None = None
    fits: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One finished evaluation."""

    step: int
    wall: float
    scope: str
    loss: float | None
    eval_s: float
    best: bool
    targets: int = 0
    domains: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One checkpoint on disk."""

    step: int
    wall: float
    path: str
    cause: Cause
    bytes: int
    save_s: float
    eval_loss: float | None = None
    best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Facts of `host.sampled`."""

    cpu_percent: float
    process_percent: float
    rss: int
    memory_used: int
    memory_total: int
    disk_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One command's life, as the engine told it: `accepted`, then `applied`, `rejected` or `expired`."""

    id: str
    command: str
    via: str
    state: str
    wall: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLine:
    """One line of the event feed. `tone` is `info`, `good`, `warn` or `bad`."""

    seq: int
    wall: float
    step: int
    topic: str
    text: str
    tone: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Facts of `run.failed`."""

    error_type: str
    message: str
    traceback: str
    phase: Phase
    step: int
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Facts of `run.stopped`."""

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


@dataclass(frozen=True, kw_only=True)
class RunView:
    """The whole run at one record of its journal.

    Without slots: `revised` makes the next view from this one's dictionary.
    """

    seq: int = -1
    wall: float = 0.0
    """Unix seconds of the newest record: the view's own idea of now, so that replay equals live."""
    phase: Phase = Phase.SETUP
    phase_since: float = 0.0
    phase_walls: dict[str, float] = field(default_factory=dict)
    """phase -> Unix seconds when this attempt entered it."""
    paused: bool = False
    paused_since: float | None = None
    reason: Reason | None = None
    identity: Identity = field(default_factory=Identity)
    config: dict[str, Any] = field(default_factory=dict)
    config_hash: str = ""
    window: Window = field(default_factory=Window)
    task: Task | None = None
    dataset: Dataset | None = None
    model: Model | None = None
    plan: Plan | None = None
    progress: Progress = field(default_factory=Progress)
    loss: Series = field(default_factory=Series)
    smooth: Series = field(default_factory=Series)
    lr: Series = field(default_factory=Series)
    grad_norm: Series = field(default_factory=Series)
    tokens_per_s: Series = field(default_factory=Series)
    evaluations: tuple[Evaluation, ...] = ()
    best: Evaluation | None = None
    evals_since_best: int = 0
    checkpoints: tuple[Saved, ...] = ()
    """On disk, oldest first."""
    saving: bool = False
    experts: Experts | None = None
    """Newest sample from training."""
    eval_experts: Experts | None = None
    """Newest sample from an evaluation."""
    expert_shares: tuple[Series, ...] = ()
    """One series per expert, from training samples."""
    routing_entropy: Series = field(default_factory=Series)
    alarms: tuple[Alarm, ...] = ()
    """What is wrong with the routing now, worst first."""
    examination: Examination | None = None
    """What experts and routers were found to be worth, at the end."""
    gpus: tuple[GpuDevice, ...] = ()
    gpu_utilisation: Series = field(default_factory=Series)
    host: Host | None = None
    host_cpu: Series = field(default_factory=Series)
    controls: tuple[Control, ...] = ()
    """The last few commands, oldest first."""
    viewers: tuple[int, ...] = ()
    """Pids of attached viewers."""
    disabled_sinks: tuple[str, ...] = ()
    feed: tuple[FeedLine, ...] = ()
    failure: Failure | None = None
    ending: Ending | None = None
    unknown: int = 0
    """Records this version does not know."""


_NUM_FIELDS: Final = len(fields(RunView))


def revised(view: RunView, **changes: Any) -> RunView:
    """What `dataclasses.replace` gives, in an eighth of its time: one is made for every record of a journal."""
    new = object.__new__(RunView)
    values = new.__dict__
    values.update(view.__dict__)
    values.update(changes)
    if len(values) != _NUM_FIELDS:
        raise TypeError(f"RunView has no {', '.join(sorted(changes.keys() - view.__dict__.keys()))}")
    return new
