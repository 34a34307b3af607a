"""The numbers that a tracker is told, under the names that dashboards of this model already use.

Numbers only: no text of any conversation ever comes near a tracker.
"""

from __future__ import annotations

from states import events as e
from states.budget import Ledger
from states.view import RunView
from states.wording import perplexity

STEP = "train/global_step"
"""The step axis, named as in the Hugging Face trainer; every set of metrics carries it."""
_HOUR_S = 3600.0


def metrics(view: RunView, record: e.Record) -> dict[str, float]:
    """What `record` adds to the curves; `view` has already taken it in. Empty when it adds nothing."""
    match record.event:
        case e.StepCompleted() as step:
            found = _step(view, step, record.wall)
        case e.EvalCompleted() as evaluation:
            found = _evaluation(evaluation)
        case e.ExpertsSampled(source="train"):
            found = _experts(view)
        case e.ExpertsAlarmed() as alarm:
            found = {f"moe/alarm/{alarm.source}/{alarm.rule}": 1.0 if alarm.raised else 0.0}
        case e.ExpertsExamined() as examined:
            found = _examination(examined)
        case e.GpuSampled() as gpu:
            found = _gpu(gpu)
        case _:
            return {}
    known = {name: value for name, value in found.items() if value is not None}
    return {**known, STEP: view.progress.step} if known else {}


def _step(view: RunView, event: e.StepCompleted, now: float) -> dict[str, float | None]:
    opened, finish = view.window.opened_wall, Ledger.of(view.window).projected_finish(view, now)
    return {
        "train_loss": event.loss,
        "learning_rate": event.lr,
        "grad_norm": event.grad_norm,
        "epoch": event.epoch,
        "tokens_per_s": view.progress.tokens_per_s,
        "training/elapsed_hours": None if opened is None else (now - opened) / _HOUR_S,
        "training/remaining_hours": None if finish is None else max(0.0, finish - now) / _HOUR_S,
    }


def _evaluation(event: e.EvalCompleted) -> dict[str, float | None]:
    return {"eval_loss": event.loss, "eval_perplexity": perplexity(event.loss)}


def _experts(view: RunView) -> dict[str, float | None]:
    routing = view.experts
    if routing is None:
        return {}
    shares: dict[str, float | None] = {f"expert_usage/{i}": share for i, share in enumerate(routing.shares)}
    return {**shares, "routing_entropy": routing.entropy, "balance_loss": routing.balance_loss}


def _examination(event: e.ExpertsExamined) -> dict[str, float | None]:
    gap = None if event.routed is None or event.average is None else event.average - event.routed
    return {
        "moe/routed_loss": event.routed,
        "moe/average_loss": event.average,
        "moe/gap": gap,
        "moe/mutual_information": event.mutual_information,
        "moe/mutual_information_by_chance": event.permuted_p99,
        **{f"moe/forced_loss/{index}": loss for index, loss in enumerate(event.forced)},
        **{f"moe/ablated_loss/{index}": loss for index, loss in enumerate(event.ablated)},
    }


def _gpu(event: e.GpuSampled) -> dict[str, float | None]:
    if not event.devices:
        return {}
    card = event.devices[0]
    return {
        "gpu/memory_gb": card.memory_used / 1e9 if card.memory_total else None,
        "gpu/utilisation": card.utilisation,
        "gpu/power_w": card.power_w,
        "gpu/temperature_c": card.temperature_c,
    }
