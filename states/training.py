"""How steps, restores and evaluations change the view; the busiest part of the reducer."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Final

from states.events import EvalCompleted, ExpertsAlarmed, ExpertsExamined, ExpertsSampled, RunRestored, StepCompleted
from states.mixture import Alarm, Examination, experts
from states.series import Series, append, rollback
from states.view import RECENT, Evaluation, Progress, RunView, revised

SMOOTHING: Final = 0.9
"""Decay of the exponential mean of the training loss."""
KEPT: Final = 1000
"""Evaluations and checkpoints kept: months of them, and a bound for a journal gone mad."""

ALARMS: Final = 50
"""Alarms kept; the rules make at most sixteen."""


def step_completed(view: RunView, event: StepCompleted, wall: float) -> RunView:
    """One more step. A step that was done before begins a new lineage: what came after it is dropped first."""
    if event.step <= view.progress.step:
        view = rolled_back(view, event.step - 1)
    old = view.progress
    recent = (*old.recent[-(RECENT - 1) :], (event.tokens, event.step_s))
    rate = event.tokens / event.step_s if event.step_s > 0 else None
    loss, grad_norm = finite(event.loss), finite(event.grad_norm)
    smooth_loss, weight = _smooth(old, loss)
    progress = Progress(
        step=event.step,
        epoch=event.epoch,
        tokens=old.tokens + event.tokens,
        trained_s=old.trained_s + event.step_s,
        paused_s=old.paused_s,
        loss=loss,
        smooth_loss=smooth_loss,
        smooth_weight=weight,
        lr=event.lr,
        grad_norm=grad_norm,
        recent=recent,
        rejected_steps=old.rejected_steps,
    )
    return revised(
        view,
        progress=progress,
        loss=_plus(view.loss, event.step, wall, loss),
        smooth=_plus(view.smooth, event.step, wall, None if loss is None else smooth_loss),
        lr=_plus(view.lr, event.step, wall, event.lr),
        grad_norm=_plus(view.grad_norm, event.step, wall, grad_norm),
        tokens_per_s=_plus(view.tokens_per_s, event.step, wall, rate),
    )


def restored(view: RunView, event: RunRestored) -> RunView:
    """A checkpoint was loaded: everything later belongs to a lineage that ended."""
    view = rolled_back(view, event.step)
    progress = replace(view.progress, step=event.step, tokens=event.tokens, trained_s=event.trained_s)
    return replace(view, progress=progress)


def rolled_back(view: RunView, step: int) -> RunView:
    """The view without what was recorded of steps after `step`."""
    evaluations = tuple(item for item in view.evaluations if item.step <= step)
    best, since = view.best, view.evals_since_best
    if best is not None and best.step > step:
        best = next((item for item in reversed(evaluations) if item.best), None)
        since = sum(_counts(item) for item in evaluations[evaluations.index(best) + 1 if best else 0 :])
    else:
        since = max(0, since - sum(_counts(item) for item in view.evaluations if item.step > step))
    return replace(
        view,
        progress=_progress_at(view, step),
        loss=rollback(view.loss, step),
        smooth=rollback(view.smooth, step),
        lr=rollback(view.lr, step),
        grad_norm=rollback(view.grad_norm, step),
        tokens_per_s=rollback(view.tokens_per_s, step),
        evaluations=evaluations,
        best=best,
        evals_since_best=since,
        checkpoints=tuple(item for item in view.checkpoints if item.step <= step),
        experts=view.experts if view.experts and view.experts.step <= step else None,
        eval_experts=view.eval_experts if view.eval_experts and view.eval_experts.step <= step else None,
        expert_shares=tuple(rollback(series, step) for series in view.expert_shares),
        routing_entropy=rollback(view.routing_entropy, step),
        alarms=tuple(alarm for alarm in view.alarms if alarm.step <= step),
        examination=view.examination if view.examination and view.examination.step <= step else None,
        gpu_utilisation=rollback(view.gpu_utilisation, step),
        host_cpu=rollback(view.host_cpu, step),
    )


def evaluated(view: RunView, event: EvalCompleted, wall: float) -> RunView:
    """One more evaluation; one of the same step and scope takes the place of its predecessor."""
    step, scope = event.step, event.scope
    same = [item for item in view.evaluations if item.step == step and item.scope == scope]
    others = tuple(item for item in view.evaluations if item not in same) if same else view.evaluations
    loss = finite(event.loss)
    evaluation = Evaluation(
        step=step,
        wall=wall,
        scope=scope,
        loss=loss,
        eval_s=event.eval_s,
        # One that was cut short is nobody's best, whatever it was to judge.
        # Repeating the best evaluation cannot improve on it, and must not lose it.
        best=(event.best and loss is not None) or any(item.best for item in same),
        targets=event.targets,
        domains={name: finite(loss) for name, loss in event.domains.items()},
    )
    since = 0 if evaluation.best else view.evals_since_best + (_counts(evaluation) and not same)
    return revised(
        view,
        task=None if view.task and view.task.name == "evaluate" else view.task,
        evaluations=(*others, evaluation)[-KEPT:],
        best=evaluation if evaluation.best and loss is not None else view.best,
        evals_since_best=since,
    )


def routed(view: RunView, event: ExpertsSampled, wall: float) -> RunView:
    """One more routing sample; training samples also extend the curves."""
    sample = experts(event, wall)
    if sample is None:
        return view
    if event.source != "train":
        return revised(view, eval_experts=sample)
    series = view.expert_shares if len(view.expert_shares) == len(sample.shares) else (Series(),) * len(sample.shares)
    return revised(
        view,
        experts=sample,
        expert_shares=tuple(
            append(each, event.step, wall, share) for each, share in zip(series, sample.shares, strict=True)
        ),
        routing_entropy=append(view.routing_entropy, event.step, wall, sample.entropy),
    )


def alarmed(view: RunView, event: ExpertsAlarmed, wall: float) -> RunView:
    """An alarm takes the place of the one it updates; where its rule holds again there is none. Bad ones come first."""
    key = (event.source, event.rule, event.layer is None)
    alarms = [alarm for alarm in view.alarms if (alarm.source, alarm.rule, alarm.overall) != key]
    if event.raised:
        names = [field.name for field in fields(Alarm) if field.name != "wall"]
        alarms.append(Alarm(wall=wall, **{name: getattr(event, name) for name in names}))
    alarms.sort(key=lambda alarm: (alarm.level != "bad", alarm.source != "train", not alarm.overall))
    return replace(view, alarms=tuple(alarms[:ALARMS]))


def examined(view: RunView, event: ExpertsExamined) -> RunView:
    """The experts were examined."""
    known = {field.name: getattr(event, field.name) for field in fields(Examination)}
    return replace(view, examination=Examination(**known))


def finite(value: float | None) -> float | None:
    """The value, unless it is no number."""
    return value if value is not None and math.isfinite(value) else None


def _counts(evaluation: Evaluation) -> bool:
    # The final evaluation sees the whole validation set: its loss is compared with no other.
    return evaluation.scope == "subset"


def _plus(series: Series, step: int, wall: float, value: float | None) -> Series:
    return series if value is None else append(series, step, wall, value)


def _smooth(old: Progress, loss: float | None) -> tuple[float | None, float]:
    if loss is None:
        return old.smooth_loss, old.smooth_weight
    weight = SMOOTHING * old.smooth_weight + (1 - SMOOTHING)
    total = SMOOTHING * old.smooth_weight * (old.smooth_loss or 0.0) + (1 - SMOOTHING) * loss
    return total / weight, weight


def _progress_at(view: RunView, step: int) -> Progress:
    """Progress as far as the kept curves tell; tokens and seconds come with the restored checkpoint, or are zero."""
    old = view.progress
    if old.step <= step:
        return replace(old, recent=())
    smooth = rollback(view.smooth, step)
    samples = sum(bucket.count for bucket in smooth.buckets)
    steps_per_epoch = view.plan.steps_per_epoch if view.plan else 0
    return Progress(
        step=step,
        epoch=step / steps_per_epoch if steps_per_epoch > 0 else 0.0,
        tokens=old.tokens if step > 0 else 0,
        trained_s=old.trained_s if step > 0 else 0.0,
        paused_s=old.paused_s,
        loss=_newest(rollback(view.loss, step)),
        smooth_loss=_newest(smooth),
        smooth_weight=1 - SMOOTHING**samples,
        lr=_newest(rollback(view.lr, step)),
        grad_norm=_newest(rollback(view.grad_norm, step)),
        rejected_steps=old.rejected_steps,
    )


def _newest(series: Series) -> float | None:
    return series.last.mean if series.last else None
