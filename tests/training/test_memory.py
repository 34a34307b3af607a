"""What counts as out of memory: whoever says it, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.training import memory

SAID = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", SAID, ids=str)
def test_bins_are_halved_whichever_library_says_it(monkeypatch: pytest.MonkeyPatch, error: RuntimeError) -> None:
    halved: list[Any] = []
    monkeypatch.setattr(memory, "_halve", lambda session, trainer: halved.append((session, trainer)))

    def work() -> str:
        if not halved:
            raise error
        return "done"

    session, trainer = SimpleNamespace(), SimpleNamespace()
    assert memory.in_memory(session, trainer, work) == "done"  # type: ignore[arg-type]
    assert halved == [(session, trainer)]


def test_another_error_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_halve", lambda *_: pytest.fail("nothing to halve"))

    def work() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        memory.in_memory(SimpleNamespace(), SimpleNamespace(), work)  # type: ignore[arg-type]
