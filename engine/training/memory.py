"""Out of memory in a step: the bins are halved and the step is taken again; bins do not change the loss."""

from __future__ import annotations

import gc

import torch

from configs.errors import UserError
from engine.training.session import Session
from engine.training.step import StepStats, take_step
from engine.training.trainer import Trainer
from states.events import MemoryReduced


class OutOfMemory(UserError):  # noqa: N818  (what happened)
    """The longest conversation alone does not fit on the device."""


def step_in_memory(session: Session, trainer: Trainer, *, rate: float, ramp: float) -> StepStats:
    """`take_step` on the next examples, with smaller bins until they fit. Raises `OutOfMemory` when none do."""
    examples = trainer.steps.at(session.step)
    while True:
        try:
            return take_step(trainer, examples, rate=rate, ramp=ramp)
        except torch.OutOfMemoryError:
            # Outside this block, so that the traceback no longer holds the tensors that filled the memory.
            pass
        _halve(session, trainer)


def _halve(session: Session, trainer: Trainer) -> None:
    trainer.adapted.routing.discard_step()
    trainer.optimizer.zero_grad(set_to_none=True)
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
    trainer.bin_tokens = trainer.runtime["bin_tokens"] = after
    session.emit(MemoryReduced(step=session.step, old_bin_tokens=before, new_bin_tokens=after))
