"""Out of memory: the bins are halved and it is done again; bins do not change the loss."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from configs.errors import UserError
from engine.training.session import Session
from engine.training.step import StepStats, take_step
from engine.training.trainer import Trainer
from states.events import MemoryReduced

T = TypeVar("T")

_SAID = ("out of memory", "cublas_status_alloc_failed", "can't allocate memory")
"""How libraries say it that do not know torch's own error: Triton and lazily loaded kernels, cuBLAS, a CPU."""


class OutOfMemory(UserError):  # noqa: N818  (what happened)
    """The longest conversation alone does not fit on the device."""


def in_memory(session: Session, trainer: Trainer, work: Callable[[], T]) -> T:
    """Do `work`, again with smaller bins until they fit. Raises `OutOfMemory` when none do."""
    while True:
        try:
            return work()
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            # Outside this block, so that the traceback no longer holds the tensors that filled the memory.
        _halve(session, trainer)


def _is_out_of_memory(error: RuntimeError) -> bool:
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(words in said for words in _SAID)


def step_in_memory(session: Session, trainer: Trainer, *, rate: float, ramp: float) -> StepStats:
    """The next optimizer step."""

    def step() -> StepStats:
        started = time.perf_counter()
        bins = trainer.ahead.bins(session.step, trainer.bin_tokens)
        return take_step(trainer, bins, rate=rate, ramp=ramp, data_s=time.perf_counter() - started)

    return in_memory(session, trainer, step)


def _halve(session: Session, trainer: Trainer) -> None:
    trainer.adapted.routing.discard_step()
    trainer.optimizer.zero_grad(set_to_none=True)
    for parameter in [key for key, state in trainer.optimizer.state.items() if "exp_avg_sq" not in state]:
        # The first update ran out between its two moments: it begins again.
        del trainer.optimizer.state[parameter]
    gc.collect()
    if trainer.device.type == "cuda":
        torch.cuda.empty_cache()
    before = trainer.bin_tokens
    longest = max(example.tokens for example in (*trainer.prepared.train, *trainer.prepared.validation))
    after = max(longest, before // 2)
    if after >= before:
        raise OutOfMemory(
            f"Out of memory at step {session.step + 1} with bins of {before:,} tokens, and the longest conversation "
            f"already needs {longest:,}. Lower max_length, set gradient_checkpointing to true, or the "
            'optimization_priority to "memory_efficient", and start again; `--resume auto` keeps the old settings.'
        )
    trainer.shrink_bins(after)
    session.emit(MemoryReduced(step=session.step, old_bin_tokens=before, new_bin_tokens=after))
