"""Candidates for a plan: so many steps with so many evaluations, what they cost, and how they are made to fit."""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.throughput import Costs
from engine.plan.workload import Workload

EVALUATIONS = 10
"""Least number in a run: with fewer, a patience of 3 evaluations could hardly act."""

EVAL_SHARE = 0.05
"""Most of the training work that evaluations in training may take."""

FORWARD_SHARE = 1 / 3
"""Work of a token that is only read, against one that is trained on."""

REPORT_S = 2.0
"""Model card and publication in Finalize."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One candidate and its price; seconds by part: setup, training, evaluation, checkpoints, finalize."""

    steps: int
    eval_every: int
    subset_tokens: int
    evaluations: int
    checkpoints: int
    estimated_s: dict[str, float]

    @property
    def before_finalize_s(self) -> float:
        """What must be over when the reserve begins."""
        return sum(seconds for part, seconds in self.estimated_s.items() if part != "finalize")


def cadence(steps: int, eval_every: int) -> int:
    """Return the steps between evaluations: at least `EVALUATIONS` in the run, and no rarer than `eval_every`."""
    return max(1, min(eval_every, steps // EVALUATIONS))


def lay(work: Workload, costs: Costs, steps: int, eval_every: int, *, most_tokens: int | None = None) -> Layout:
    """Price one candidate. `most_tokens` caps the evaluation subset besides the share of the work."""
    tokens = work.tokens(steps)
    evaluations = steps // eval_every
    affordable = int(tokens * EVAL_SHARE / FORWARD_SHARE) // max(1, evaluations)
    subset = min(affordable, work.eval_tokens, most_tokens if most_tokens is not None else work.eval_tokens)
    training_s = tokens / costs.tokens_per_s
    # Every evaluation may find a new best, which is saved at once.
    checkpoints = int(training_s / work.checkpoint_interval_s) + evaluations
    read_s = FORWARD_SHARE / costs.tokens_per_s
    finalize_s = costs.finalize_s
    if finalize_s is None:
        finalize_s = (work.eval_tokens + subset) * read_s + 2 * costs.save_s + REPORT_S
    return Layout(
        steps=steps,
        eval_every=eval_every,
        subset_tokens=subset,
        evaluations=evaluations,
        checkpoints=checkpoints,
        estimated_s={
            "setup": costs.setup_s,
            "training": training_s,
            "evaluation": (work.eval_tokens + evaluations * subset) * read_s,
            "checkpoints": checkpoints * costs.save_s,
            "finalize": finalize_s,
        },
    )


def reserve_s(work: Workload, layout: Layout) -> float:
    """Return the seconds kept for Finalize."""
    return max(work.reserve_s, layout.estimated_s["finalize"])


def room_s(work: Workload, layout: Layout) -> float:
    """Return the seconds of the window before the reserve begins; infinite without a time limit."""
    return float("inf") if work.window_s is None else work.window_s - reserve_s(work, layout)


def fewer_evaluations(work: Workload, costs: Costs, layout: Layout) -> Layout:
    """Make evaluations as rare as `EVALUATIONS` in a run allow, each as large as it was."""
    every = max(layout.eval_every, layout.steps // EVALUATIONS)
    return lay(work, costs, layout.steps, every, most_tokens=layout.subset_tokens)


def fewer_steps(work: Workload, costs: Costs, layout: Layout) -> Layout:
    """Take the most steps that fit before the reserve; one step where none does."""
    low, high = 1, layout.steps
    best = _cut(work, costs, layout, low)
    while low < high:
        middle = (low + high + 1) // 2
        candidate = _cut(work, costs, layout, middle)
        if candidate.before_finalize_s <= room_s(work, candidate):
            low, best = middle, candidate
        else:
            high = middle - 1
    return best


def _cut(work: Workload, costs: Costs, layout: Layout, steps: int) -> Layout:
    return lay(work, costs, steps, cadence(steps, layout.eval_every), most_tokens=layout.subset_tokens)
