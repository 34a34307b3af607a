"""How much memory will training take? By arithmetic over the base's shape, against what the card or the machine has.

What is kept between forward and backward is exact for the hand-written layers (`engine/model/layer.py`; a test compares
it byte by byte); the rest is the largest thing that lives beside it. Other bases keep more, so that the out-of-memory
ladder (`engine/training/memory.py`) stands behind the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.schema import MoeConfig
from engine.plan.shape import BaseShape, trainable
from states.wording import size

GB = 1e9
CONTEXT_BYTES = {"cuda": 1.0 * GB, "cpu": 0.7 * GB}
"""The CUDA context with its libraries; a Python process with torch and transformers in it."""

CHUNK_ROWS = 1024
"""Rows of logits at a time (`engine/model/loss.py`)."""

USABLE = 0.95
"""Of the memory; the allocator loses some to blocks that fit nothing."""

LEAST_BIN = 2048
"""Smaller bins no longer fill a card, so activations are recomputed before bins become smaller than this."""

SINGLE = 4
"""Bytes of a float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What training takes with these bins, bytes by part, and what there is."""

    bin_tokens: int
    recompute: bool
    parts: dict[str, int]
    """weights, adapters, gradients, optimizer, activations, logits, working space, context."""
    limit: int | None
    """What the card or the machine has; None where nobody knows."""

    @property
    def total(self) -> int:
        """All parts."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether it is within what can be used of the limit."""
        return self.limit is None or self.total <= USABLE * self.limit


def kept_bytes(shape: BaseShape, moe: MoeConfig, *, tokens: int, rows: int, item: int, recompute: bool) -> int:
    """Return what is kept between forward and backward for a bin of `tokens` tokens, `rows` of them targets.

    `item` is the bytes of a value in the base's precision. Scales, log-sums and gates are float32.
    """
    end = rows * (2 * shape.hidden * item + SINGLE)  # the last norm's input and scale, and the loss's gradient
    if recompute:
        return shape.layers * tokens * shape.hidden * item + end
    routed = moe.adapter_mode == "moe"
    ranks = moe.lora_rank * (moe.num_experts if routed and moe.expert_mode == "private" else 1)
    experts = moe.num_experts if routed else 0
    half = 2 * shape.hidden + (2 * shape.heads + 2 * shape.key_heads) * shape.width + 4 * moe.lora_rank
    single = 2 + shape.heads + 2 * experts
    every_token = half * item + single * SINGLE
    feed_forward = (2 * shape.inner + 3 * ranks) * item
    # Only the rows with targets go through the last feed-forward block.
    return shape.layers * tokens * every_token + ((shape.layers - 1) * tokens + rows) * feed_forward + end


def memory_of(
    shape: BaseShape, moe: MoeConfig, *, device: str, item: int, bin_tokens: int, recompute: bool, limit: int | None
) -> Memory:
    """Return what training takes with bins of `bin_tokens` tokens, all of them targets at the worst."""
    adapters = trainable(shape, moe)
    kept = kept_bytes(shape, moe, tokens=bin_tokens, rows=bin_tokens, item=item, recompute=recompute)
    if recompute:
        # In backward one layer at a time is as if it were kept.
        whole = kept_bytes(shape, moe, tokens=bin_tokens, rows=bin_tokens, item=item, recompute=False)
        kept += whole // shape.layers
    rows = min(CHUNK_ROWS, bin_tokens)
    return Memory(
        bin_tokens=bin_tokens,
        recompute=recompute,
        parts={
            "weights": shape.params * item,
            "adapters": adapters * SINGLE,
            "gradients": adapters * SINGLE,
            "optimizer": adapters * 2 * SINGLE,
            "activations": kept,
            # As the head gives them, in float32, and the gradient in the head's precision again.
            "logits": rows * shape.vocabulary * (SINGLE + 2 * item if item < SINGLE else 2 * SINGLE),
            # The widest moment of a layer's backward: the gradients of gate and up, of their product, and the product.
            "working space": bin_tokens * 4 * shape.inner * item,
            "context": int(CONTEXT_BYTES[device]),
        },
        limit=limit,
    )


def fit_memory(
    shape: BaseShape,
    moe: MoeConfig,
    *,
    device: str,
    item: int,
    bin_tokens: int,
    recompute: bool,
    limit: int | None,
    longest: int,
) -> tuple[Memory, tuple[str, ...]]:
    """Return the first of these that fits, with a sentence for what differs: as asked, smaller bins, recomputing.

    `longest` is the longest example's tokens, below which no bin can go. Where nothing fits, the smallest is returned.
    """

    def with_bins(tokens: int, *, again: bool) -> Memory:
        return memory_of(shape, moe, device=device, item=item, bin_tokens=tokens, recompute=again, limit=limit)

    asked = with_bins(bin_tokens, again=recompute)
    if asked.fits or limit is None:
        return asked, ()
    least = min(bin_tokens, max(longest, 1))
    sizes = _halves(bin_tokens, least)
    roomy = [tokens for tokens in sizes if tokens >= LEAST_BIN or tokens == bin_tokens]
    small = [tokens for tokens in sizes if tokens not in roomy]
    candidates = [with_bins(tokens, again=recompute) for tokens in roomy]
    if not recompute:
        candidates += [with_bins(tokens, again=True) for tokens in roomy]
    candidates += [with_bins(tokens, again=True) for tokens in small]
    chosen = next((each for each in candidates if each.fits), candidates[-1])
    if not chosen.fits:
        return chosen, ()
    why = f"{size(asked.total)} would not fit in the memory of {size(limit)}; this takes {size(chosen.total)}"
    return chosen, (f"{_what(chosen, asked)}: {why}.",)


def does_not_fit(memory: Memory) -> str | None:
    """Return a sentence where training cannot fit even so, with what would."""
    if memory.fits or memory.limit is None:
        return None
    short = memory.total / USABLE
    fixed = sum(memory.parts[name] for name in ("weights", "adapters", "gradients", "optimizer", "context"))
    cure = "bin_tokens or max_length" if memory.recompute else "bin_tokens or set gradient_checkpointing"
    what = f"Lower {cure}, or take" if fixed < USABLE * memory.limit else "Take"
    return (
        f"Training takes {size(memory.total)} with bins of {memory.bin_tokens:,} tokens"
        f"{', recomputed' if memory.recompute else ''} ({size(memory.parts['weights'])} of it the weights), and there "
        f"are {size(memory.limit)}. {what} a smaller base, or a card with {size(short)}."
    )


def _halves(tokens: int, least: int) -> list[int]:
    """`tokens`, half of it, and so on down to `least`, which is the last."""
    found = [tokens]
    while found[-1] > least:
        found.append(max(least, found[-1] // 2))
    return found


def _what(chosen: Memory, asked: Memory) -> str:
    bins = f"Bins of {chosen.bin_tokens:,} tokens instead of {asked.bin_tokens:,}"
    if chosen.recompute == asked.recompute:
        return bins
    again = "ctivations are recomputed, as in the memory_efficient profile"
    return f"A{again}" if chosen.bin_tokens == asked.bin_tokens else f"{bins}, and a{again}"
