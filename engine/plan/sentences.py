"""What a plan says of itself: each difference from the configuration with its gain, and what a person must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.layout import EVAL_SHARE, EVALUATIONS, Layout
from engine.plan.memory import Memory
from engine.plan.throughput import Costs
from engine.plan.workload import Workload
from states.wording import duration

WARMUP_SHARE = 0.1
"""Longest warm-up, of the steps: one that is longer than the run would never reach the peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A plan on its way into the window."""

    layout: Layout
    costs: Costs
    profile: str
    memory: Memory | None


def changes(work: Workload, stages: Sequence[Stage], warmup: int) -> tuple[str, ...]:
    """Say each difference from the configuration; the stages are: as asked, rarer, quicker, shorter, fewer steps."""
    asked, rarer, quicker, shorter, fewer = stages
    layout = fewer.layout
    said: list[str] = []
    every = f"Evaluations {_every(layout.eval_every)} instead of {_every(work.eval_every)}"
    if layout.eval_every > work.eval_every:
        gain = _gain(asked, rarer)
        share = f"all of them take at most {EVAL_SHARE:.0%} of the work"
        said.append(
            f"{every}, because the window is short: that gains {gain}." if gain else f"{every}, so that {share}."
        )
    elif layout.eval_every < work.eval_every:
        said.append(f"{every}: {_why_often(layout)}.")
    if shorter is not quicker:
        said.append(
            f"The profile {shorter.profile} instead of {work.profile}: {_epochs(work, shorter.layout.steps)}, because "
            f"the window of {duration(work.window_s)} is short: that gains {_gain(quicker, shorter)}. Examples keep "
            f"their length of up to {work.max_length:,} tokens."
        )
    if layout.steps < shorter.layout.steps:
        said.append(
            f"{_epochs(work, layout.steps)}, because the window of {duration(work.window_s)} holds no more: that gains "
            f"{_gain(shorter, fewer)}."
        )
    if layout.steps < work.steps_per_epoch:
        left = work.train_examples - layout.steps * work.conversations_per_step
        said.append(
            f"That is less than one pass: {left:,} of {work.train_examples:,} training examples are never seen. "
            f"`dataset sample` makes a smaller set of your choice."
        )
    if warmup < work.warmup_steps:
        said.append(
            f"Warm-up takes {warmup:,} steps instead of {work.warmup_steps:,}: at most {WARMUP_SHARE:.0%} of the run's "
            f"{layout.steps:,}, or the learning rate would hardly be at its peak."
        )
    if layout.subset_tokens < work.eval_tokens and layout.evaluations:
        said.append(
            f"An evaluation in training reads {layout.subset_tokens:,} of the {work.eval_tokens:,} validation tokens, "
            f"so that all of them take at most {EVAL_SHARE:.0%} of the work; the first and the last read everything."
        )
    return tuple(said)


def resettled(stages: Sequence[Stage]) -> tuple[str, ...]:
    """Say that bins or recomputing were changed for a speed that was measured; the stages as in `changes`."""
    _, rarer, quicker, _, _ = stages
    if quicker is rarer or quicker.memory is None:
        return ()
    again = "recomputing activations" if quicker.memory.recompute else "without recomputing activations"
    return (
        f"Bins of {quicker.memory.bin_tokens:,} tokens {again}, measured on this device at "
        f"{quicker.costs.tokens_per_s:,.0f} tokens a second against {rarer.costs.tokens_per_s:,.0f}: that gains "
        f"{_gain(rarer, quicker)}.",
    )


def warnings(work: Workload, layout: Layout) -> tuple[str, ...]:
    """What a configuration that must not be adjusted leads to, apart from the time it takes."""
    said: list[str] = []
    if work.warmup_steps >= layout.steps:
        said.append(
            f"Warm-up takes {work.warmup_steps:,} steps and the run has {layout.steps:,}: the learning rate will never "
            "reach its peak."
        )
    if layout.evaluations < EVALUATIONS and layout.steps >= EVALUATIONS:
        times = "once" if layout.evaluations == 1 else f"{layout.evaluations} times"
        said.append(
            f"The run of {layout.steps:,} steps is evaluated {times}, {_every(layout.eval_every)}: early stopping can "
            "hardly act."
        )
    return tuple(said)


def _gain(before: Stage, after: Stage) -> str:
    seconds = before.layout.before_finalize_s - after.layout.before_finalize_s
    return duration(seconds) if seconds > 0 else ""


def _epochs(work: Workload, steps: int) -> str:
    return f"{steps / work.steps_per_epoch:.3g} of {work.epochs} epochs ({steps:,} of {work.steps:,} steps)"


def _every(steps: int) -> str:
    return "every step" if steps == 1 else f"every {steps:,} steps"


def _why_often(layout: Layout) -> str:
    if layout.steps >= EVALUATIONS:
        return f"at least {EVALUATIONS} in a run, or early stopping could not act"
    return f"the run has {layout.steps:,}, and its end is worth knowing"
