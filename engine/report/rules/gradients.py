"""Rules about how steps were taken: gradients that were clipped, spiked or not finite, and a long warm-up."""

from __future__ import annotations

from engine.report.document import Advice, Change
from engine.report.facts import Story
from engine.report.points import weighted_mean
from engine.report.rules.reading import change, numeric, scaled
from engine.report.words import share
from states.progress import median

SPIKE = 10.0
WARMUP = 0.2


def gradients_clipped(story: Story) -> Advice | None:
    """Clipping is for exceptions."""
    part = weighted_mean(story.curves.clipped)
    if part is None or part <= 0.5 or story.view.progress.step < 10:
        return None
    return Advice(
        rule="gradients-clipped",
        tone="warn",
        title="Most gradients were clipped",
        evidence=f"{share(part)} of the steps had a gradient above max_grad_norm; more than 50% means that the clip "
        "sets the step size, not the learning rate.",
        value=part,
        limit=0.5,
        advice="Lower the learning rate, or allow a larger norm if the loss fell smoothly all the same.",
        changes=(*scaled(story, "training.learning_rate", 0.5), *scaled(story, "safety.max_grad_norm", 2.0)),
    )


def gradient_spikes(story: Story) -> Advice | None:
    """Single steps that shook the run."""
    buckets = story.view.grad_norm.buckets
    usual = median([bucket.mean for bucket in buckets])
    if not usual or story.view.progress.step < 20:
        return None
    worst = max(buckets, key=lambda each: each.high)
    if worst.high <= SPIKE * usual:
        return None
    return Advice(
        rule="gradient-spikes",
        tone="warn",
        title="The gradient spiked",
        evidence=f"A gradient norm of {worst.high:.3g} at about step {worst.last:,}, {worst.high / usual:.0f} times "
        f"the median of {usual:.3g} (limit {SPIKE:g} times).",
        value=worst.high / usual,
        limit=SPIKE,
        advice="Look for damaged or very odd conversations with run.py dataset validate, and rise more slowly or less "
        "high.",
        changes=_slower_rise(story) or scaled(story, "training.learning_rate", 0.5),
    )


def steps_rejected(story: Story) -> Advice | None:
    """Steps that were not finite."""
    rejected = story.tallies.rejected
    if not rejected:
        return None
    return Advice(
        rule="steps-rejected",
        tone="bad" if rejected > 3 else "warn",
        title="Steps had no finite gradient",
        evidence=f"{rejected:,} steps were not taken; none should be.",
        value=float(rejected),
        limit=0.0,
        advice="Lower the learning rate; if it happens again at the same steps, look at their conversations.",
        changes=scaled(story, "training.learning_rate", 0.5),
    )


def warmup_long(story: Story) -> Advice | None:
    """The learning rate was hardly ever at its peak."""
    plan = story.plan
    if plan is None or plan.planned_steps < 10 or plan.warmup_steps <= WARMUP * plan.planned_steps:
        return None
    part = plan.warmup_steps / plan.planned_steps
    return Advice(
        rule="warmup-long",
        tone="warn",
        title="Warm-up takes much of the run",
        evidence=f"{plan.warmup_steps:,} of {plan.planned_steps:,} steps ({share(part, 0)}; limit {share(WARMUP, 0)}).",
        value=part,
        limit=WARMUP,
        advice="A tenth of the steps is enough.",
        changes=(change(story, "training.warmup_steps", max(1, plan.planned_steps // 10)),),
    )


RULES = (gradients_clipped, gradient_spikes, steps_rejected, warmup_long)


def _slower_rise(story: Story) -> tuple[Change, ...]:
    """A warm-up twice as long, where the plan's limit of a tenth of the run leaves room for a longer one."""
    plan, now = story.plan, numeric(story, "training.warmup_steps")
    if plan is None or now is None:
        return ()
    then = min(2 * plan.warmup_steps, plan.planned_steps // 10)
    return (change(story, "training.warmup_steps", then),) if then > max(now, plan.warmup_steps) else ()
