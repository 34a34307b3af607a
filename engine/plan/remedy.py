"""Where nothing fits the window: what would, from the longest window to the smallest data set."""

from __future__ import annotations

import math
from dataclasses import replace

from engine.plan.layout import Layout, cadence, is_late, lay, reserve_s
from engine.plan.throughput import Costs
from engine.plan.workload import Workload
from states.budget import RESERVE_SHARE
from states.wording import duration

SMALLEST = 20
"""Conversations: a data set of fewer is not worth proposing."""


def nothing_fits(work: Workload, costs: Costs, asked: Layout, smallest: Layout) -> tuple[str, ...]:
    """Return the sentences for a run of which not even `smallest` fits; `asked` is the whole of it."""
    one = work.steps_per_epoch
    what = "even one step" if smallest.steps == 1 else f"the run of {smallest.steps:,} steps"
    sentences = [
        f"The run does not fit: {what} takes {duration(smallest.before_finalize_s)} of work and "
        f"{duration(reserve_s(work, smallest))} kept for the end, in a window of {duration(work.window_s)}."
    ]
    windows = [f"{_hours(window_for(work, asked))} for all {asked.steps:,} steps"]
    if one < asked.steps:
        epoch = lay(work, costs, one, cadence(work, one, asked.eval_every))
        windows.append(f"{_hours(window_for(work, epoch))} for one epoch")
    if smallest.steps < min(one, asked.steps):
        few = "one step" if smallest.steps == 1 else f"{smallest.steps:,} steps"
        windows.append(f"{_hours(window_for(work, smallest))} for {few}")
    sentences.append(f"What would: more with --hours, {', '.join(windows)}.")
    largest = largest_part(work, costs)
    if largest is not None:
        train, validation = largest
        sentences.append(
            f"Or one epoch over {train + validation:,} of the {work.train_examples + work.eval_examples:,} "
            f"conversations in this window: `dataset sample --size {train + validation}`."
        )
    return (" ".join(sentences),)


def window_for(work: Workload, layout: Layout) -> float:
    """Return the seconds of a window that holds `layout` and its reserve."""
    before = layout.before_finalize_s
    share = before * RESERVE_SHARE / (1 - RESERVE_SHARE)
    return before + max(layout.held_s, share, work.reserve_s)


def largest_part(work: Workload, costs: Costs) -> tuple[int, int] | None:
    """Return the training and validation examples of the largest part that fits with one epoch; None if none does."""
    low, high = 0, work.train_examples
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(work, costs, middle) else (low, middle - 1)
    validation = low * work.eval_examples // work.train_examples
    return (low, validation) if low >= SMALLEST else None


def _fits(work: Workload, costs: Costs, examples: int) -> bool:
    share = examples / work.train_examples
    part = replace(
        work,
        train_examples=examples,
        train_tokens=max(1, int(work.train_tokens * share)),
        eval_tokens=int(work.eval_tokens * share),
        eval_examples=max(1, int(work.eval_examples * share)),
        epochs=1,
    )
    return not is_late(part, lay(part, costs, part.steps, cadence(part, part.steps, part.eval_every)))


def _hours(seconds: float) -> str:
    """Rounded up, as --hours takes them: to tenths, and to thousandths under an hour."""
    if seconds < 3600:
        return f"{math.ceil(seconds / 3.6) / 1000:.3f} hours"
    return f"{math.ceil(seconds / 360) / 10:,.1f} hours"
