"""The plan: how many steps fit the paid window, how often to evaluate, and how long each part should take.

Pure arithmetic over counts and prices, so that a run planned twice is planned the same. Where the window is too short,
in this order: evaluations become rarer; bins and recomputing as they were measured to be faster; a profile with fewer
epochs; fewer steps. Every change is said with what it gains, and where nothing fits, what would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from configs.profiles import PROFILES
from engine.plan.layout import (
    MOST_RESERVE,
    Layout,
    cadence,
    cut,
    fewer_evaluations,
    fewer_steps,
    is_late,
    lay,
    reserve_s,
)
from engine.plan.memory import Memory, does_not_fit
from engine.plan.remedy import nothing_fits
from engine.plan.sentences import WARMUP_SHARE, Stage, changes, resettled, warnings
from engine.plan.throughput import Costs
from engine.plan.workload import Workload
from states.events import RunPlanned

FASTER = 1.02
"""A setting must have been measured to be faster by this before bins or recomputing are changed for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Bins and recomputing that fit in memory, with the speed they were measured to have on this device."""

    memory: Memory
    tokens_per_s: float


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
    phases_s: dict[str, float]
    """The same seconds by phase: setup and init, warm-up, main, finalize."""
    window_s: float | None
    reserve_s: float
    """What Finalize has to itself at the end of the window."""
    memory: Memory | None
    """With the bins to train with; None where nobody asked."""
    adjusted: tuple[str, ...]
    """Those of the changes that stay when the plan is made again: of bins and recomputing."""
    in_time: bool
    """Whether it is over before the window is."""
    changes: tuple[str, ...]
    """Sentences: what differs from the configuration, why, and what it gains."""
    warnings: tuple[str, ...]
    """Sentences: what will go wrong unless a person changes something."""

    @property
    def fits(self) -> bool:
        """In time and in memory."""
        return self.in_time and (self.memory is None or self.memory.fits)

    @property
    def total_s(self) -> float:
        """The whole run."""
        return sum(self.estimated_s.values())

    @property
    def step_s(self) -> float:
        """One step."""
        return self.tokens_per_step / self.tokens_per_s


def make_plan(
    work: Workload,
    costs: Costs,
    *,
    manual: bool = False,
    memory: Memory | None = None,
    adjusted: tuple[str, ...] = (),
    alternatives: Sequence[Alternative] = (),
) -> Plan:
    """Plan `work` into its window. With `manual` nothing is adjusted, and what that leads to is said instead.

    `memory` is what training takes as it will be done, and `adjusted` says how that differs from what was asked.
    """
    too_large = None if memory is None else does_not_fit(memory)
    said = () if too_large is None else (too_large,)
    if manual:
        layout = lay(work, costs, work.steps, work.eval_every)
        asked = Stage(layout=layout, costs=costs, profile=work.profile, memory=memory)
        late = nothing_fits(work, costs, layout, layout) if is_late(work, layout) else ()
        return _plan(work, asked, work.warmup_steps, (), (*said, *warnings(work, layout), *late))
    stages = _stages(work, costs, memory, alternatives)
    last = stages[-1]
    warmup = min(work.warmup_steps, int(last.layout.steps * WARMUP_SHARE))
    if is_late(work, last.layout):
        said = (*said, *nothing_fits(work, last.costs, stages[0].layout, cut(work, last.costs, last.layout, 1)))
    adjusted = (*adjusted, *resettled(stages))
    if said:
        return _plan(work, last, warmup, (), said, adjusted)
    return _plan(work, last, warmup, changes(work, stages, warmup), (), adjusted)


def _stages(
    work: Workload, costs: Costs, memory: Memory | None, alternatives: Sequence[Alternative]
) -> tuple[Stage, Stage, Stage, Stage, Stage]:
    """The run as asked for, and after each way of making it fit; those that were not needed repeat what was before."""
    layout = lay(work, costs, work.steps, cadence(work, work.steps, work.eval_every))
    asked = Stage(layout=layout, costs=costs, profile=work.profile, memory=memory)
    rarer = asked
    if is_late(work, asked.layout):
        rarer = replace(asked, layout=fewer_evaluations(work, costs, asked.layout))
    quicker = rarer
    if is_late(work, rarer.layout):
        quicker = _quicker(work, rarer, alternatives)
    shorter = quicker
    if is_late(work, quicker.layout):
        shorter = _shorter(work, quicker)
    fewer = shorter
    if is_late(work, shorter.layout):
        fewer = replace(shorter, layout=fewer_steps(work, shorter.costs, shorter.layout))
    if work.window_s is not None and is_late(work, fewer.layout):
        # It does not fit, which is said; what is trained all the same is what the loop's own reserve leaves room for.
        most_s = MOST_RESERVE * work.window_s
        fewer = replace(shorter, layout=fewer_steps(work, shorter.costs, shorter.layout, most_s))
    return asked, rarer, quicker, shorter, fewer


def _quicker(work: Workload, stage: Stage, alternatives: Sequence[Alternative]) -> Stage:
    """With the bins and the recomputing that were measured to be the fastest here."""
    best = max(alternatives, key=lambda each: each.tokens_per_s, default=None)
    if best is None or best.tokens_per_s < FASTER * stage.costs.tokens_per_s:
        return stage
    costs = stage.costs.at(best.tokens_per_s)
    return replace(stage, layout=cut(work, costs, stage.layout, stage.layout.steps), costs=costs, memory=best.memory)


def _shorter(work: Workload, stage: Stage) -> Stage:
    """With the epochs of the next profile that takes fewer, and so on while the run is late."""
    own = PROFILES[work.profile]
    for profile in sorted(PROFILES.values(), key=lambda each: -each.epochs_factor):
        epochs = max(1, round(work.epochs * profile.epochs_factor / own.epochs_factor))
        steps = epochs * work.steps_per_epoch
        if profile.epochs_factor >= own.epochs_factor or steps >= stage.layout.steps:
            continue
        stage = replace(stage, layout=cut(work, stage.costs, stage.layout, steps), profile=profile.name)
        if not is_late(work, stage.layout):
            break
    return stage


def to_event(plan: Plan) -> RunPlanned:
    """Return the plan as the journal records it."""
    memory = plan.memory
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
        bin_tokens=memory.bin_tokens if memory else None,
        recompute=memory.recompute if memory else None,
        memory_bytes=dict(memory.parts) if memory else {},
        memory_limit=memory.limit if memory else None,
        fits=plan.fits,
    )


def _phases(layout: Layout, warmup: int) -> dict[str, float]:
    """Steps with the evaluations and checkpoints among them, divided where the warm-up ends."""
    first = layout.estimated_s["setup"] + layout.first_evaluation_s
    among = layout.before_finalize_s - first
    rising = among * min(1.0, warmup / layout.steps)
    return {
        "setup and init": first,
        "warm-up": rising,
        "main": among - rising,
        "finalize": layout.estimated_s["finalize"],
    }


def _plan(
    work: Workload,
    stage: Stage,
    warmup: int,
    said: tuple[str, ...],
    warned: tuple[str, ...],
    adjusted: tuple[str, ...] = (),
) -> Plan:
    layout, costs = stage.layout, stage.costs
    return Plan(
        profile=stage.profile,
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
        phases_s=_phases(layout, warmup),
        window_s=work.window_s,
        reserve_s=reserve_s(work, layout),
        memory=stage.memory,
        in_time=not is_late(work, layout),
        adjusted=adjusted,
        changes=(*adjusted, *said),
        warnings=warned,
    )
