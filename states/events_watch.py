"""What is watched beside training: tasks, cards, host.

Part of the catalogue in `states.events`, which is what everybody imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


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
