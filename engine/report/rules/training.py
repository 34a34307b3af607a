"""Rules about learning: a loss that does not move, overfitting, a target that was missed, evaluations."""

from __future__ import annotations

from engine.report.document import Advice, Change
from engine.report.facts import Story
from engine.report.rules.reading import change, configured, numeric, scaled
from engine.report.verdict import PERPLEXITY_TARGET
from engine.report.words import count, loss, ppl, share
from states.phases import Outcome, Reason
from states.series import Series
from states.wording import perplexity

FLAT = 0.02
"""A gain below 2% of the loss is hardly one."""
RISE = 0.01
"""Above 1% over its best, the validation loss has turned, not trembled."""
STEADY = 0.005


def loss_flat(story: Story) -> Advice | None:
    """Training changed next to nothing."""
    base, tuned = story.base, story.tuned
    if not base or not tuned or not base.loss or tuned.loss is None or tuned.scope != base.scope:
        return None
    gain = 1 - tuned.loss / base.loss
    if gain >= FLAT:
        return None
    return Advice(
        rule="loss-flat",
        tone="warn",
        title="The loss hardly moved" if gain > -FLAT else "The loss rose",
        evidence=f"Validation loss {loss(base.loss)} before and {loss(tuned.loss)} after: a gain of {share(gain)}, "
        f"less than {share(FLAT, 0)}.",
        value=gain,
        limit=FLAT,
        advice="Try a learning rate three times lower where the training loss jumped about, three times higher where "
        "it stood still, and look at the data with run.py dataset validate; less weight decay helps a little.",
        changes=(*scaled(story, "training.learning_rate", 1 / 3), *scaled(story, "training.weight_decay", 0.1)),
    )


def overfitting(story: Story) -> Advice | None:
    """Validation turned while training went on falling."""
    found = story.in_training
    if len(found) < 3:
        return None
    best, last = story.best, found[-1]
    if best is None or best.loss is None or last.loss is None or last.step <= best.step:
        return None
    rise = last.loss / best.loss - 1
    before, after = _at(story.view.smooth, best.step), _at(story.view.smooth, last.step)
    if rise <= RISE or before is None or after is None or after >= before:
        return None
    epochs = numeric(story, "training.num_train_epochs")
    steps = story.view.plan.steps_per_epoch if story.view.plan else 0
    enough = max(1, -(-best.step // steps)) if steps else 1
    fewer = (change(story, "training.num_train_epochs", enough),) if epochs and enough < epochs else ()
    return Advice(
        rule="overfitting",
        tone="warn",
        title="The model began to memorise",
        evidence=f"From step {best.step:,} to {last.step:,} the validation loss rose by {share(rise)} (from "
        f"{loss(best.loss)} to {loss(last.loss)}; more than {share(RISE, 0)}) while the training loss fell from "
        f"{loss(before)} to {loss(after)}.",
        value=rise,
        limit=RISE,
        advice="Train for fewer epochs, or on more data; the model kept is the one of the best evaluation.",
        changes=fewer or scaled(story, "training.learning_rate", 0.5),
    )


def still_improving(story: Story) -> Advice | None:
    """The last evaluation was the best, and by a margin: there was more to learn."""
    found, end = story.in_training, story.view.ending
    if end is None or end.outcome is not Outcome.FINISHED or end.reason is not Reason.TARGET or len(found) < 3:
        return None
    before, last = found[-2].loss, found[-1].loss
    if before is None or last is None or any((each.loss or 0.0) < last for each in found):
        return None
    gain = 1 - last / before
    if gain <= STEADY:
        return None
    if story.wanted_steps > end.step:
        return None  # the window held no more, and the rule about it says what to do
    epochs = numeric(story, "training.num_train_epochs")
    return Advice(
        rule="still-improving",
        tone="info",
        title="It was still learning when the steps ran out",
        evidence=f"The last evaluation ({loss(last)}) was the best, {share(gain)} below the one before it; more than "
        f"{share(STEADY)} means there is more to gain.",
        value=gain,
        limit=STEADY,
        advice="Give it more epochs, if the window allows.",
        changes=(change(story, "training.num_train_epochs", int(epochs) + 1),) if epochs else (),
    )


def target_missed(story: Story) -> Advice | None:
    """The user's own target for the perplexity."""
    tuned, end = story.tuned, story.view.ending
    after = perplexity(tuned.loss) if tuned else None
    if tuned is None or after is None or after < PERPLEXITY_TARGET:
        return None
    if end is None or end.outcome is not Outcome.FINISHED:
        return None  # one that was cut off is to go on, not to be changed
    return Advice(
        rule="target-missed",
        tone="info",
        title="The target for the perplexity was not reached",
        evidence=f"Perplexity {ppl(tuned.loss)}, demanded below {PERPLEXITY_TARGET}.",
        value=after,
        limit=PERPLEXITY_TARGET,
        advice="More and better conversations move it most; a larger rank gives the adapters more to say. A small base "
        "model may never get there.",
        changes=scaled(story, "moe.lora_rank", 2.0),
    )


def few_evaluations(story: Story) -> Advice | None:
    """Early stopping needs evaluations to act on."""
    patience = numeric(story, "safety.early_stopping_patience") or 3
    taken, least = len(story.in_training), int(patience) + 1
    steps, end = story.view.progress.step, story.view.ending
    # A run that something cut short was not given the time for its evaluations.
    whole = end is not None and end.reason in {Reason.TARGET, Reason.DEADLINE}
    if taken >= least or steps < 20 or not whole or configured(story, "safety.enable_early_stopping") is False:
        return None
    return Advice(
        rule="few-evaluations",
        tone="warn",
        title="Too few evaluations to stop early",
        evidence=f"{count(taken)} in {steps:,} steps; a patience of {patience:g} can act from {least} on.",
        value=float(taken),
        limit=float(least),
        advice="Evaluate ten times in a run.",
        changes=(change(story, "training.eval_steps", max(1, steps // 10)),),
    )


def stopped_early_early(story: Story) -> Advice | None:
    """An early stop in the first half may have been a plateau."""
    end, plan = story.view.ending, story.plan
    if end is None or plan is None or end.reason is not Reason.EARLY_STOP or not plan.planned_steps:
        return None
    part = end.step / plan.planned_steps
    if part >= 0.5:
        return None
    return Advice(
        rule="early-stop-early",
        tone="warn",
        title="The early stop came early",
        evidence=f"After {share(part, 0)} of the planned {plan.planned_steps:,} steps; before 50% it may have been a "
        "plateau.",
        value=part,
        limit=0.5,
        advice="Be more patient, or learn more slowly so that there is further to go.",
        changes=(*scaled(story, "safety.early_stopping_patience", 2.0), *scaled(story, "training.learning_rate", 0.5)),
    )


def stopped_early_late(story: Story) -> Advice | None:
    """Many steps after the best one were for nothing."""
    best, found = story.best, story.in_training
    if best is None or not best.step or not story.over or stopped_early_early(story) is not None:
        return None
    steps = found[-1].step  # what came after the last evaluation may have been better
    if steps < 20:
        return None
    idle = 1 - best.step / steps
    if idle <= 0.4:
        return None
    patience = numeric(story, "safety.early_stopping_patience")
    stopping = configured(story, "safety.enable_early_stopping")
    changes: tuple[Change, ...] = ()
    if stopping is False:
        changes = (change(story, "safety.enable_early_stopping", "true"),)
    elif patience and patience > 3:
        changes = (change(story, "safety.early_stopping_patience", "3"),)
    return Advice(
        rule="early-stop-late",
        tone="warn",
        title="Much of the run came after its best model",
        evidence=f"The best was at step {best.step:,} of {steps:,}: {share(idle, 0)} of the steps brought nothing "
        "(limit 40%).",
        value=idle,
        limit=0.4,
        advice="Stop sooner, and evaluate more often so that the best is found.",
        changes=(*changes, *scaled(story, "training.eval_steps", 0.5)),
    )


RULES = (
    loss_flat,
    overfitting,
    still_improving,
    target_missed,
    few_evaluations,
    stopped_early_early,
    stopped_early_late,
)


def _at(series: Series, step: int) -> float | None:
    before = [bucket for bucket in series.buckets if bucket.last <= step]
    return before[-1].mean if before else None
