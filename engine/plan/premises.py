"""What a plan stands on: the base's shape, the machine, the lengths of the data; and what follows for memory."""

from __future__ import annotations

from dataclasses import dataclass

from configs.schema import Config
from engine.checkpoint.space import checkpoint_bytes
from engine.plan.estimate import Alternative
from engine.plan.history import history_key, recall
from engine.plan.memory import Memory, fit_memory, memory_of
from engine.plan.shape import BaseShape, trainable
from engine.plan.throughput import MEASURED_BINS, TRIAL_TOKENS, Costs, assumed

ITEM_BYTES = {"float32": 4, "bfloat16": 2}
SIZES = (2048, 4096, 8192, 16384)
"""Bins that an earlier run may have been measured with."""

PROTOTYPE_SHARE = 0.5
"""Work of a token that makes a prototype, against one that is trained on: forward only, on the reference path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """One configuration with its data on one machine, real or assumed."""

    config: Config
    shape: BaseShape
    device: str
    """`cuda` or `cpu`."""
    device_name: str
    dtype: str
    threads: int
    bin_tokens: int
    recompute: bool
    longest: int
    """Tokens of the longest example."""
    example_tokens: float
    """Of a training example, on average."""
    train_examples: int
    domains: int
    memory_limit: int | None
    """Bytes; None where nobody knows."""

    @property
    def init_tokens(self) -> int:
        """Work of Init in tokens trained on: prototypes of the domains, a trial, the bins it times."""
        moe = self.config.moe
        prototypes = 0
        if moe.adapter_mode == "moe" and moe.router_init == "prototypes":
            prototypes = min(moe.prototype_conversations * self.domains, self.train_examples)
        step = self.config.training.conversations_per_step * self.example_tokens
        timed = MEASURED_BINS * min(self.bin_tokens, step)
        return int(PROTOTYPE_SHARE * prototypes * self.example_tokens + timed) + min(TRIAL_TOKENS, int(5 * step))

    def assumed(self, tokens_per_s: float | None = None) -> Costs:
        """What to expect without a measurement, or at a stated speed."""
        return assumed(
            profile=self.config.training.optimization_priority,
            base_params=self.shape.params,
            device=self.device,
            cores=self.threads,
            checkpoint_bytes=checkpoint_bytes(trainable(self.shape, self.config.moe)),
            tokens_per_s=tokens_per_s,
            init_tokens=self.init_tokens,
        )

    def as_asked(self) -> Memory:
        """What training takes as it was asked for."""
        return self._with(self.bin_tokens, recompute=self.recompute)

    def memory(self, *, manual: bool) -> tuple[Memory, tuple[str, ...]]:
        """What training takes as it can be done here, and how that differs from what was asked."""
        if manual:
            return self.as_asked(), ()
        return fit_memory(
            self.shape,
            self.config.moe,
            device=self.device,
            item=ITEM_BYTES[self.dtype],
            bin_tokens=self.bin_tokens,
            recompute=self.recompute,
            limit=self.memory_limit,
            longest=self.longest,
        )

    def alternatives(self, memory: Memory) -> list[Alternative]:
        """Other bins, or recomputing or not, that fit and have been measured on this device."""
        found = []
        for tokens in {self.bin_tokens, *SIZES}:
            for recompute in (False, True):
                other = self._with(tokens, recompute=recompute)
                known = recall(self.key(other))
                if tokens >= self.longest and other.fits and other != memory and known is not None:
                    found.append(Alternative(memory=other, tokens_per_s=known))
        return found

    def key(self, memory: Memory) -> str:
        """The name under which the speed of this work is remembered."""
        return history_key(
            device=self.device_name,
            base_params=self.shape.params,
            dtype=self.dtype,
            threads=self.threads,
            max_length=self.config.training.max_length,
            bin_tokens=memory.bin_tokens,
            checkpointing=memory.recompute,
        )

    def _with(self, bin_tokens: int, *, recompute: bool) -> Memory:
        return memory_of(
            self.shape,
            self.config.moe,
            device=self.device,
            item=ITEM_BYTES[self.dtype],
            bin_tokens=bin_tokens,
            recompute=recompute,
            limit=self.memory_limit,
        )
