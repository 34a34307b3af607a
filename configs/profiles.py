"""The four profiles a plan starts from: data, with the reasons for the figures.

The user's document states `balanced` in full (batch 4, accumulation 8, 2048 tokens, 60 GB, 800 tokens/s) and names the
others. Their figures are derived from it, for the 12B shape on an 80 GB card; a calibration on the machine replaces the
assumed speed before anything depends on it. Every profile takes 32 conversations a step, so that the learning rate
that suits one suits all.

Memory, by arithmetic at 12.2 billion parameters in bfloat16: 24.5 GB of weights, 3 GB for adapters, AdamW and the CUDA
context, and for each token of a bin 3.94 MB of kept activations (96.1 KiB in each of 40 layers), or, where they are
recomputed, 0.41 MB and one layer's 0.1 MB at a time. A plan works it out again for the base, the bins and the card at
hand (`engine/plan/memory.py`, which adds 2 GB of logits and working space); a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

ProfileName: TypeAlias = Literal["fast", "balanced", "quality", "memory_efficient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One way to spend the window."""

    name: ProfileName
    purpose: str
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    max_length: int
    bin_tokens: int
    epochs_factor: float
    """Times the configured epochs, rounded, at least one."""
    gradient_checkpointing: bool
    memory_gb: float
    tokens_per_second: float
    """Assumed until measured."""

    @property
    def conversations_per_step(self) -> int:
        """Conversations in one optimizer step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    def epochs(self, configured: int) -> int:
        """Epochs under this profile."""
        return max(1, round(configured * self.epochs_factor))


_PROFILES: Final = (
    Profile(
        name="fast",
        purpose="fewer passes over shorter examples, when the window is tight",
        per_device_train_batch_size=8,
        gradient_accumulation_steps=4,
        max_length=1024,
        bin_tokens=8192,
        epochs_factor=2 / 3,  # the document's remedy for a run that is too long: 2 epochs instead of 3
        gradient_checkpointing=False,
        memory_gb=60.0,  # bins, not batches, set the memory: as balanced
        tokens_per_second=810.0,  # attention is 1.7% of the work at 2048 and half of that at 1024
    ),
    Profile(
        name="balanced",
        purpose="the document's own numbers",
        per_device_train_batch_size=4,
        gradient_accumulation_steps=8,
        max_length=2048,
        bin_tokens=8192,
        epochs_factor=1.0,
        gradient_checkpointing=False,
        memory_gb=60.0,
        tokens_per_second=800.0,
    ),
    Profile(
        name="quality",
        purpose="longer examples, so that fewer conversations are cut in two",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=16,
        max_length=4096,
        bin_tokens=8192,
        epochs_factor=4 / 3,  # 4 passes instead of 3, the upper end of what the document recommends
        gradient_checkpointing=False,
        memory_gb=60.0,
        tokens_per_second=785.0,  # attention doubles to 3.4% of the work
    ),
    Profile(
        name="memory_efficient",
        purpose="the document's remedy for an out-of-memory error: half the batch, recomputed activations",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=16,
        max_length=1024,
        bin_tokens=4096,
        epochs_factor=1.0,
        gradient_checkpointing=True,
        memory_gb=30.0,  # 24.5 + 3 + 4096 tokens at 0.51 MB = 29.6
        tokens_per_second=545.0,  # recomputation takes 1.47 times the matrix products
    ),
)
PROFILES: Final[dict[str, Profile]] = {profile.name: profile for profile in _PROFILES}
