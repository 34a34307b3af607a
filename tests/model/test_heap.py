"""Memory given back by one tensor serves the next without the kernel."""

from __future__ import annotations

import resource

import pytest
import torch

from engine.model.heap import keep_freed_memory


def fresh_pages(rounds: int) -> int:
    """Pages that the kernel cleared for rounds of tensors of 16 MiB held together, more than glibc keeps by itself."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        held = [torch.ones(1 << 22) for _ in range(4)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_pages_are_fetched_once_and_not_for_every_tensor() -> None:
    fresh_pages(1)
    every = 10 * 4 * (1 << 24) / resource.getpagesize()
    assert fresh_pages(10) < 0.25 * every
