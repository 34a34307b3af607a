"""Memory of a training pass on a CPU, counted and not sampled: what autograd keeps, and the most that is allocated."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import torch


class Held:
    """Bytes of storage that autograd holds between forward and backward, weights aside, shared storage counted once.

    Activation checkpointing hides what it keeps from these hooks; see `allocated_peak` for that.
    """

    def __init__(self, weights: set[int]) -> None:
        self._weights = weights
        self._count: dict[int, int] = {}
        self._live = self._most = 0
        self._peaks: list[int] = []
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    @property
    def kept(self) -> int:
        """The most that was held at a time, added up over the forward passes."""
        return sum(self._peaks) + self._most

    def _pack(self, tensor: torch.Tensor) -> Any:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address in self._weights or not storage.nbytes():
            return tensor
        return _Kept(self, tensor.detach(), address, storage.nbytes())

    @staticmethod
    def _unpack(kept: Any) -> torch.Tensor:
        found: torch.Tensor = kept.tensor if isinstance(kept, _Kept) else kept
        return found

    def take(self, address: int, size: int) -> None:
        """One more saved tensor lies in the storage at `address`."""
        if not self._count.get(address):
            self._live += size
            self._most = max(self._most, self._live)
        self._count[address] = self._count.get(address, 0) + 1

    def drop(self, address: int, size: int) -> None:
        """One fewer."""
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]
            self._live -= size
            if not self._live:
                self._peaks.append(self._most)
                self._most = 0

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, traceback)


class _Kept:
    """A saved tensor, which tells when it goes."""

    def __init__(self, held: Held, tensor: torch.Tensor, address: int, size: int) -> None:
        self.tensor = tensor
        self._held, self._address, self._size = held, address, size
        held.take(address, size)

    def __del__(self) -> None:
        self._held.drop(self._address, self._size)


def allocated_peak(profile: Any) -> int:
    """The most that torch's CPU allocator had given out since the start of a `profile_memory` profile, in bytes."""
    total = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda each: each.start_ns()):
        if event.name() == "[memory]":
            total += event.nbytes()
            most = max(most, total)
    return most
