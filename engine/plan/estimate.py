"""The plan: how many steps fit the paid window, how often to evaluate, and how long each part should take.

Pure arithmetic over counts and prices, so that a run planned twice is planned the same. Where the window is too short,
evaluations become rarer first, then there are fewer steps; every change is said with what it gains.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.layout import (
    EVAL_SHARE,
    EVALUATIONS,
    Layout,
    cadence,
    fewer_evaluations,
    fewer_steps,
    lay,
    reserve_s,
    room_s,
)
from engine.plan.throughput import Costs
from engine.plan.workload import Workload
from states.events import RunPlanned
from states.wording import duration

WARMUP_SHARE = 0.1
"""Longest warm-up, of the steps: one that is longer than the run would never reach the peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be done and how long it should take; seconds and tokens."""

    profile: str
    source: str
    tokens_per_s: float
    planned_steps: int
    warmup_steps: int
    epochs: float
    steps_per_epoch: int
    conversations_per_step: int
    tokens_per_step: int
    eval_every: int
    evaluations: int
    eval_subset_tokens: int
    """Most validation tokens in one evaluation in training; the one before the first step and the last use all."""
    checkpoint_interval_s: float
    checkpoints: int
    estimated_s: dict[str, float]
    """By part: setup, training, evaluation, checkpoints, finalize."""
    window_s: float | None
    reserve_s: float
    """What Finalize has to itself at the end of the window."""
    fits: bool
    changes: tuple[str, ...]
    """Sentences: what differs from the configuration, why, and what it gains."""
    warnings: tuple[str, ...]
    """Sentences: what will go wrong unless a person changes something."""

    @property
    def total_s(self) -> float:
        """The whole run."""
        return sum(self.estimated_s.values())

    @property
    def step_s(self) -> float:
        """One step."""
        return self.tokens_per_step / self.tokens_per_s


def make_plan(work: Workload, costs: Costs, *, manual: bool = False) -> Plan:
    """Plan `work` into its window. With `manual` nothing is adjusted, and what that leads to is said instead."""
    if manual:
        layout = lay(work, costs, work.steps, work.eval_every)
        return _plan(work, costs, layout, work.warmup_steps, changes=(), warnings=_warnings(work, layout))
    asked = lay(work, costs, work.steps, cadence(work.steps, work.eval_every))
    rarer = layout = asked
    if layout.before_finalize_s > room_s(work, layout):
        rarer = layout = fewer_evaluations(work, costs, asked)
    if layout.before_finalize_s > room_s(work, layout):
        layout = fewer_steps(work, costs, rarer)
    warmup = min(work.warmup_steps, int(layout.steps * WARMUP_SHARE))
    warnings = _does_not_fit(work, layout)
    changes = () if warnings else _changes(work, asked, rarer, layout, warmup)
    return _plan(work, costs, layout, warmup, changes=changes, warnings=warnings)


def to_event(plan: Plan) -> RunPlanned:
    """Return the plan as the journal records it."""
    return RunPlanned(
        profile=plan.profile,
        source=plan.source,
        planned_steps=plan.planned_steps,
        warmup_steps=plan.warmup_steps,
        epochs=plan.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        conversations_per_step=plan.conversations_per_step,
        tokens_per_step=plan.tokens_per_step,
        eval_every=plan.eval_every,
        tokens_per_s=plan.tokens_per_s,
        estimated_s=dict(plan.estimated_s),
        changes=(*plan.changes, *plan.warnings),
    )


def _changes(work: Workload, asked: Layout, rarer: Layout, layout: Layout, warmup: int) -> tuple[str, ...]:
    """Say each difference from the configuration; `asked`, `rarer` and `layout` are the stages of fitting it."""
    said: list[str] = []
    every = f"Evaluations {_every(layout.eval_every)} instead of {_every(work.eval_every)}"
    if layout.eval_every > work.eval_every:
        gain = duration(asked.before_finalize_s - rarer.before_finalize_s)
        said.append(f"{every}, because the window is short: that gains {gain}.")
    elif layout.eval_every < work.eval_every:
        said.append(f"{every}: at least {EVALUATIONS} in a run, or early stopping could not act.")
    if layout.steps < asked.steps:
        gain = duration(rarer.before_finalize_s - layout.before_finalize_s)
        said.append(
            f"{layout.steps / work.steps_per_epoch:.3g} of {work.epochs} epochs ({layout.steps:,} of {asked.steps:,} "
            f"steps), because the window of {duration(work.window_s)} holds no more: that gains {gain}."
        )
    if warmup < work.warmup_steps:
        said.append(
            f"Warm-up takes {warmup:,} steps instead of {work.warmup_steps:,}: at most {WARMUP_SHARE:.0%} of the run's "
            f"{layout.steps:,}, or the learning rate would hardly be at its peak."
        )
    if layout.subset_tokens < work.eval_tokens:
        said.append(
            f"An evaluation in training reads {layout.subset_tokens:,} of the {work.eval_tokens:,} validation tokens, "
            f"so that all of them take at most {EVAL_SHARE:.0%} of the work; the first and the last read everything."
        )
    return tuple(said)


def _does_not_fit(work: Workload, layout: Layout) -> tuple[str, ...]:
    over = layout.before_finalize_s - room_s(work, layout)
    if over <= 0:
        return ()
    return (
        f"The run does not fit with {layout.steps:,} of {work.steps:,} steps: {duration(layout.before_finalize_s)} "
        f"of work and {duration(reserve_s(work, layout))} kept for the end, in a window of {duration(work.window_s)}. "
        f"Give it {duration(over)} more with --hours, or less to do.",
    )


def _every(steps: int) -> str:
    return "every step" if steps == 1 else f"every {steps:,} steps"


def _warnings(work: Workload, layout: Layout) -> tuple[str, ...]:
    """What a configuration that must not be adjusted leads to."""
    warnings: list[str] = []
    if work.warmup_steps >= layout.steps:
        warnings.append(
            f"Warm-up takes {work.warmup_steps:,} steps and the run has {layout.steps:,}: the learning rate will never "
            "reach its peak."
        )
    if layout.evaluations < EVALUATIONS and layout.steps >= EVALUATIONS:
        times = "once" if layout.evaluations == 1 else f"{layout.evaluations} times"
        warnings.append(
            f"The run of {layout.steps:,} steps is evaluated {times}, {_every(layout.eval_every)}: early stopping can "
            "hardly act."
        )
    return (*warnings, *_does_not_fit(work, layout))


def _plan(
    work: Workload, costs: Costs, layout: Layout, warmup: int, *, changes: tuple[str, ...], warnings: tuple[str, ...]
) -> Plan:
    return Plan(
        profile=work.profile,
        source=costs.source,
        tokens_per_s=costs.tokens_per_s,
        planned_steps=layout.steps,
        warmup_steps=warmup,
        epochs=layout.steps / work.steps_per_epoch,
        steps_per_epoch=work.steps_per_epoch,
        conversations_per_step=work.conversations_per_step,
        tokens_per_step=max(1, round(work.train_tokens / work.steps_per_epoch)),
        eval_every=layout.eval_every,
        evaluations=layout.evaluations,
        eval_subset_tokens=layout.subset_tokens,
        checkpoint_interval_s=work.checkpoint_interval_s,
        checkpoints=layout.checkpoints,
        estimated_s=layout.estimated_s,
        window_s=work.window_s,
        reserve_s=reserve_s(work, layout),
        fits=layout.before_finalize_s <= room_s(work, layout),
        changes=changes,
        warnings=warnings,
    )
