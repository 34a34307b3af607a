"""The plan for people: training_optimization_report.json and the table that `plan` prints."""

from __future__ import annotations

import datetime as dt
from typing import Any

from configs.profiles import PROFILES
from engine.plan.estimate import Plan
from engine.plan.throughput import REFERENCE_PARAMS
from engine.plan.workload import Workload
from states.wording import duration

SOURCES = {
    "assumed": "assumed; measured once the model is loaded",
    "history": "measured in an earlier run on this device",
    "measured": "measured",
}


def memory_gb(profile: str, base_params: int, device: str) -> float | None:
    """Return the profile's figure where it was made for this base: a GPU and about 12B; else None."""
    near = 0.8 < base_params / REFERENCE_PARAMS < 1.2
    return PROFILES[profile].memory_gb if device == "cuda" and near else None


def report(plan: Plan, work: Workload, *, opened_wall: float, memory: float | None = None) -> dict[str, Any]:
    """Return the content of training_optimization_report.json; `opened_wall` in Unix seconds."""
    return {
        "profile": {
            "name": plan.profile,
            "per_device_train_batch_size": work.batch_size,
            "gradient_accumulation_steps": work.accumulation,
            "effective_batch_size": plan.conversations_per_step,
            "max_length": work.max_length,
            "tokens_per_s": plan.tokens_per_s,
            "tokens_per_s_source": plan.source,
            "memory_gb": memory,
        },
        "data": {
            "train_examples": work.train_examples,
            "train_tokens_per_epoch": work.train_tokens,
            "eval_tokens": work.eval_tokens,
        },
        "steps": {
            "total": plan.planned_steps,
            "per_epoch": plan.steps_per_epoch,
            "epochs": plan.epochs,
            "warmup": plan.warmup_steps,
            "tokens_per_step": plan.tokens_per_step,
            "eval_every": plan.eval_every,
            "evaluations": plan.evaluations,
            "eval_subset_tokens": plan.eval_subset_tokens,
            "checkpoints": plan.checkpoints,
        },
        "time": {
            "estimated_s": plan.estimated_s,
            "total_s": plan.total_s,
            "window_s": plan.window_s,
            "reserve_s": plan.reserve_s,
            "opened_wall": opened_wall,
            "completion_wall": opened_wall + plan.total_s,
            "fits": plan.fits,
        },
        "changes": list(plan.changes),
        "warnings": list(plan.warnings),
    }


def table(plan: Plan, work: Workload, *, opened_wall: float, memory: float | None = None) -> str:
    """Return the plan as lines for a terminal; the completion time is local."""
    completion = dt.datetime.fromtimestamp(opened_wall + plan.total_s).astimezone()
    rows: list[tuple[str, str]] = [
        (f"Selected profile: {plan.profile}", ""),
        ("Batch size", f"{work.batch_size}"),
        ("Gradient accumulation", f"{work.accumulation}"),
        ("Effective batch size", f"{plan.conversations_per_step} conversations, about {plan.tokens_per_step:,} tokens"),
        ("Max length", f"{work.max_length:,}"),
        ("Throughput", f"{plan.tokens_per_s:,.0f} tokens/s ({SOURCES[plan.source]})"),
    ]
    if memory is not None:
        rows.append(("Memory", f"{memory:.1f} GB"))
    rows += [
        ("", ""),
        ("Time estimate", ""),
        ("Total steps", f"{plan.planned_steps:,} ({plan.epochs:.3g} epochs of {plan.steps_per_epoch:,})"),
        ("Warm-up", f"{plan.warmup_steps:,} steps"),
        ("Evaluations", f"{plan.evaluations:,}, one in {plan.eval_every:,} steps"),
        *((part.capitalize(), duration(seconds)) for part, seconds in plan.estimated_s.items()),
        ("Estimated duration", f"{plan.total_s / 3600:.2f} hours"),
        ("Completion", f"{completion:%Y-%m-%d %H:%M:%S}"),
    ]
    if plan.window_s is not None:
        rows.append((f"Fits in the {duration(plan.window_s)} window", "yes" if plan.fits else "no"))
    width = max(len(name) for name, value in rows if value)
    lines = [f"   {name:<{width}}  {value}" if value else name for name, value in rows]
    for title, sentences in (("Changes", plan.changes), ("Warnings", plan.warnings)):
        if sentences:
            lines += ["", title, *(f"   - {sentence}" for sentence in sentences)]
    return "\n".join(lines)
