"""Candidates for a plan: so many steps with so many evaluations, what they cost, and how they are made to fit."""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.throughput import FORWARD_SHARE, Costs
from engine.plan.workload import Workload

EVALUATIONS = 10
"""Least number in a run: with fewer, a patience of 3 evaluations could hardly act."""

EVAL_SHARE = 0.05
"""Most of the training work that evaluations in training may take."""

LEAST_CONVERSATIONS = 8
"""Of an evaluation in a run of fewer than `EVALUATIONS` steps: a loss over fewer says little, so there is one less."""

EXAMINATION = 2.0
"""What examining the experts costs, in evaluations of the whole validation set (`engine/quality/experts.py`)."""

MARGIN = 1.5
"""Of what Finalize must do, kept for it; the examination comes last, may be cut short and gets what it takes."""

MOST_RESERVE = 1 / 3
"""Of the window, that Finalize may claim where it does not fit: a tiny window is there to train in."""

REPORT_S = 1.0
"""Reading the best checkpoint again, model card and publication in Finalize."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One candidate and its price; seconds by part: setup, training, evaluation, checkpoints, finalize."""

    steps: int
    eval_every: int
    subset_tokens: int
    evaluations: int
    checkpoints: int
    estimated_s: dict[str, float]
    held_s: float
    """What the loop keeps for Finalize, with a margin (`engine/training/pace.py`)."""
    first_evaluation_s: float
    """Part of `evaluation`: the untouched model on all validation data, before the first step."""

    @property
    def before_finalize_s(self) -> float:
        """What must be over when the reserve begins."""
        return sum(seconds for part, seconds in self.estimated_s.items() if part != "finalize")


def cadence(work: Workload, steps: int, eval_every: int) -> int:
    """Return the steps between evaluations: at least `EVALUATIONS` in the run, and no rarer than `eval_every`.

    A run of fewer steps than that has as many as `EVAL_SHARE` of its work pays for, and at least one.
    """
    if steps >= EVALUATIONS:
        return max(1, min(eval_every, steps // EVALUATIONS))
    one = max(1, min(work.eval_tokens, LEAST_CONVERSATIONS * work.eval_example_tokens))
    affordable = int(work.tokens(steps) * EVAL_SHARE / FORWARD_SHARE) // one
    return -(-steps // max(1, min(steps, affordable)))


def lay(work: Workload, costs: Costs, steps: int, eval_every: int, *, most_tokens: int | None = None) -> Layout:
    """Price one candidate. `most_tokens` caps the evaluation subset besides the share of the work."""
    tokens = work.tokens(steps)
    evaluations = steps // eval_every
    affordable = int(tokens * EVAL_SHARE / FORWARD_SHARE) // max(1, evaluations)
    subset = min(affordable, work.eval_tokens, most_tokens if most_tokens is not None else work.eval_tokens)
    # However little is affordable, an evaluation reads one conversation.
    read = max(subset, min(work.eval_tokens, work.eval_example_tokens))
    training_s = tokens / costs.tokens_per_s
    # Every evaluation may find a new best, which is saved at once; the clock of the regular ones starts again with it.
    checkpoints = max(int(training_s / work.checkpoint_interval_s), evaluations)
    finalize_s = held_s = costs.finalize_s
    if finalize_s is None or held_s is None:
        again = 0 if steps % eval_every == 0 else read
        must_s = (work.eval_tokens + again) * costs.read_s + 2 * costs.save_s
        examination_s = EXAMINATION * work.eval_tokens * costs.read_s if work.examined else 0.0
        finalize_s = must_s + examination_s + REPORT_S
        held_s = MARGIN * must_s + examination_s + REPORT_S
    return Layout(
        steps=steps,
        eval_every=eval_every,
        subset_tokens=subset,
        evaluations=evaluations,
        checkpoints=checkpoints,
        estimated_s={
            "setup": costs.setup_s,
            "training": training_s,
            "evaluation": (work.eval_tokens + evaluations * read) * costs.read_s,
            "checkpoints": checkpoints * costs.save_s,
            "finalize": finalize_s,
        },
        held_s=held_s,
        first_evaluation_s=work.eval_tokens * costs.read_s,
    )


def reserve_s(work: Workload, layout: Layout, most_s: float = float("inf")) -> float:
    """Return the seconds kept for Finalize, of which its cost claims at most `most_s`."""
    return max(work.reserve_s, min(layout.held_s, most_s))


def is_late(work: Workload, layout: Layout, most_s: float = float("inf")) -> bool:
    """Whether a candidate runs into the reserve; never without a time limit."""
    return work.window_s is not None and layout.before_finalize_s > work.window_s - reserve_s(work, layout, most_s)


def fewer_evaluations(work: Workload, costs: Costs, layout: Layout) -> Layout:
    """Make evaluations as rare as `EVALUATIONS` in a run allow, each as large as it was."""
    every = max(layout.eval_every, layout.steps // EVALUATIONS)
    return lay(work, costs, layout.steps, every, most_tokens=layout.subset_tokens)


def cut(work: Workload, costs: Costs, layout: Layout, steps: int) -> Layout:
    """The same with `steps` steps."""
    return lay(work, costs, steps, cadence(work, steps, layout.eval_every), most_tokens=layout.subset_tokens)


def fewer_steps(work: Workload, costs: Costs, layout: Layout, most_s: float = float("inf")) -> Layout:
    """Take the most steps that fit before the reserve; one step where none does."""
    low, high = 1, layout.steps
    best = cut(work, costs, layout, low)
    while low < high:
        middle = (low + high + 1) // 2
        candidate = cut(work, costs, layout, middle)
        if is_late(work, candidate, most_s):
            high = middle - 1
        else:
            low, best = middle, candidate
    return best
