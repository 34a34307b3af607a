"""Where to compute, in which precision, with how many threads: settled once, recorded, and reapplied on resume."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import torch

from configs.schema import TrainingConfig
from engine.model.load import choose_device, choose_dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One more thread, another bin size or another precision changes the last bits of a run."""

    device: str
    dtype: str
    threads: int
    bin_tokens: int
    recompute: bool

    def to_json(self) -> dict[str, Any]:
        """The form a checkpoint records."""
        return asdict(self)

    @property
    def torch_device(self) -> torch.device:
        """Where to compute."""
        return choose_device(self.device)

    @property
    def device_name(self) -> str:
        """The card's own name, or CPU."""
        return torch.cuda.get_device_name(self.torch_device) if self.device == "cuda" else "CPU"

    @property
    def torch_dtype(self) -> torch.dtype:
        """Precision of the frozen base."""
        return choose_dtype(self.dtype, self.torch_device)


def usable_cores() -> int:
    """Cores this process may run on, which a container limits without changing the machine's count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def place(training: TrainingConfig, recorded: dict[str, Any] | None) -> Placement:
    """The configured placement with `auto` settled; precision, threads and bins as `recorded` by a resumed run."""
    known = recorded or {}
    device = choose_device(training.device)
    dtype = choose_dtype(str(known.get("dtype", training.dtype)), device)
    return Placement(
        device=device.type,
        dtype=str(dtype).removeprefix("torch."),
        threads=int(known.get("threads", training.threads or usable_cores())),
        bin_tokens=int(known.get("bin_tokens", training.bin_tokens)),
        recompute=bool(known.get("recompute", training.gradient_checkpointing)),
    )
