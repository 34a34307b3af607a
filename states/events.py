"""The event catalogue: every fact a run can record, in the past tense, one frozen dataclass each.

Events carry ids, counts and numbers, never conversation text, and nothing that can be derived from other events.
A float that was not finite is `None`. Evolution is additive: fields are only ever added, with a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union, get_args

from states.events_experts import ExpertsAlarmed, ExpertsExamined, ExpertsSampled
from states.events_run import (
    ClientAttached,
    ClientDetached,
    CommandApplied,
    CommandReceived,
    CommandRejected,
    LogOpened,
    MessageLogged,
    PhaseChanged,
    RunConfigured,
    RunFailed,
    RunPaused,
    RunStopped,
    RunUnpaused,
    SinkDisabled,
)
from states.events_training import (
    CheckpointCompleted,
    CheckpointFailed,
    CheckpointPruned,
    CheckpointSkipped,
    CheckpointStarted,
    DataPrepared,
    DeadlineApproached,
    DeadlineReached,
    DeadlineReplanned,
    EarlyStopTriggered,
    EvalCompleted,
    EvalStarted,
    MemoryReduced,
    ModelLoaded,
    RunPlanned,
    RunRestored,
    StepCompleted,
    StepRejected,
)
from states.events_watch import (
    GpuDevice,
    GpuSampled,
    HostSampled,
    TaskCompleted,
    TaskProgressed,
    TaskStarted,
)

SCHEMA = 1
"""Version of the journal's format, written once per attempt in `log.opened`."""

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
    ExpertsAlarmed,
    ExpertsExamined,
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


__all__ = [
    "KINDS",
    "SCHEMA",
    "CheckpointCompleted",
    "CheckpointFailed",
    "CheckpointPruned",
    "CheckpointSkipped",
    "CheckpointStarted",
    "ClientAttached",
    "ClientDetached",
    "CommandApplied",
    "CommandReceived",
    "CommandRejected",
    "DataPrepared",
    "DeadlineApproached",
    "DeadlineReached",
    "DeadlineReplanned",
    "EarlyStopTriggered",
    "EvalCompleted",
    "EvalStarted",
    "Event",
    "ExpertsAlarmed",
    "ExpertsExamined",
    "ExpertsSampled",
    "GpuDevice",
    "GpuSampled",
    "HostSampled",
    "LogOpened",
    "MemoryReduced",
    "MessageLogged",
    "ModelLoaded",
    "PhaseChanged",
    "Record",
    "RunConfigured",
    "RunFailed",
    "RunPaused",
    "RunPlanned",
    "RunRestored",
    "RunStopped",
    "RunUnpaused",
    "SinkDisabled",
    "StepCompleted",
    "StepRejected",
    "TaskCompleted",
    "TaskProgressed",
    "TaskStarted",
    "Unknown",
]
