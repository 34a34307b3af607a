"""Numbers that a step leaves on the device: they come back while the next step is under way, and nobody waits for them.

On a CUDA device the copy goes into pinned memory behind the work that makes it; only who reads it before it is there
waits, for that copy and not for the whole device. On a CPU the numbers are there when the step is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Late:
    """A small tensor on its way to the host."""

    _host: Tensor
    _arrived: torch.cuda.Event | None

    @classmethod
    def of(cls, tensor: Tensor) -> Late:
        """Send a tensor, which may be overwritten from here on."""
        if tensor.device.type != "cuda":
            return cls(tensor.detach().clone(), None)
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor.detach(), non_blocking=True)
        return cls(host, _mark())

    def read(self) -> Tensor:
        """The numbers, on the host."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._host


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """Seconds of work on the device, which has a clock of its own: the host is ahead of it."""

    _begun: torch.cuda.Event | None
    _ended: list[torch.cuda.Event]

    @classmethod
    def start(cls, device: torch.device) -> DeviceClock:
        """The work enqueued from here on; on a CPU there is no such clock."""
        return cls(_mark() if device.type == "cuda" else None, [])

    def stop(self) -> None:
        """The work enqueued up to here."""
        if self._begun is not None:
            self._ended.append(_mark())

    def seconds(self) -> float | None:
        """Waits for the end of the work; None on a CPU, where the host's clock tells."""
        if self._begun is None or not self._ended:
            return None
        self._ended[-1].synchronize()
        return float(self._begun.elapsed_time(self._ended[-1])) / 1000.0


def _mark() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
