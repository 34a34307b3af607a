"""What happens to the run as a process: opened, configured, moved, asked, watched, ended.

Part of the catalogue in `states.events`, which is what everybody imports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from states.phases import Outcome, Phase, Reason, Trigger


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
    versions: dict[str, str] = field(default_factory=dict)
    """Program and libraries."""


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
