"""The plan for people: training_optimization_report.json and the table that `plan` prints."""

from __future__ import annotations

import datetime as dt
from typing import Any

from engine.plan.disk import Disk
from engine.plan.estimate import Plan
from engine.plan.memory import Memory
from engine.plan.workload import Workload
from states.wording import duration, size

SOURCES = {
    "assumed": "assumed; measured once the model is loaded",
    "history": "measured in an earlier run on this device",
    "measured": "measured",
    "stated": "as stated with --assume-tokens-per-s",
}


def report(plan: Plan, work: Workload, *, opened_wall: float, disk: Disk | None = None) -> dict[str, Any]:
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
        },
        "memory": None if plan.memory is None else _memory(plan.memory),
        "disk": None if disk is None else disk.to_json(),
        "data": {
            "train_examples": work.train_examples,
            "train_tokens_per_epoch": work.train_tokens,
            "eval_examples": work.eval_examples,
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
            "phases_s": plan.phases_s,
            "total_s": plan.total_s,
            "window_s": plan.window_s,
            "reserve_s": plan.reserve_s,
            "opened_wall": opened_wall,
            "completion_wall": opened_wall + plan.total_s,
            "fits": plan.in_time,
        },
        "changes": list(plan.changes),
        "warnings": list(plan.warnings),
    }


def table(plan: Plan, work: Workload, *, opened_wall: float, disk: Disk | None = None) -> str:
    """Return the plan as lines for a terminal; instants are local."""
    rows: list[tuple[str, str]] = [
        (f"Selected profile: {plan.profile}", ""),
        ("Batch size", f"{work.batch_size}"),
        ("Gradient accumulation", f"{work.accumulation}"),
        ("Effective batch size", f"{plan.conversations_per_step} conversations, about {plan.tokens_per_step:,} tokens"),
        ("Max length", f"{work.max_length:,}"),
        ("Throughput", f"{plan.tokens_per_s:,.0f} tokens/s ({SOURCES[plan.source]})"),
        ("", ""),
        ("Steps", ""),
        ("Total steps", f"{plan.planned_steps:,} ({plan.epochs:.3g} epochs of {plan.steps_per_epoch:,})"),
        ("Warm-up", f"{plan.warmup_steps:,} steps"),
        ("Evaluations", _evaluations(plan, work)),
        ("Checkpoints", f"about {plan.checkpoints:,}, {duration(plan.checkpoint_interval_s)} apart at the most"),
    ]
    if plan.memory is not None:
        rows += [("", ""), ("Memory", ""), *_memory_rows(plan.memory)]
    if disk is not None:
        rows += [("", ""), ("Disk", ""), *disk.rows()]
    rows += [("", ""), ("Time estimate", ""), *_time_rows(plan, opened_wall)]
    width = max(len(name) for name, value in rows if value)
    lines = [f"   {name:<{width}}  {value}" if value else name for name, value in rows]
    for title, sentences in (("Changes", plan.changes), ("Warnings", plan.warnings)):
        if sentences:
            lines += ["", title, *(f"   - {sentence}" for sentence in sentences)]
    return "\n".join(lines)


def _evaluations(plan: Plan, work: Workload) -> str:
    every = "every step" if plan.eval_every == 1 else f"every {plan.eval_every:,} steps"
    return (
        f"{plan.evaluations:,}, {every}, of up to {plan.eval_subset_tokens:,} tokens; the first and the last of all "
        f"{work.eval_tokens:,}"
    )


def _memory(memory: Memory) -> dict[str, Any]:
    return {
        "bin_tokens": memory.bin_tokens,
        "recompute": memory.recompute,
        "bytes": memory.parts,
        "total_bytes": memory.total,
        "limit_bytes": memory.limit,
        "fits": memory.fits,
    }


def _memory_rows(memory: Memory) -> list[tuple[str, str]]:
    parts = memory.parts
    trained = parts["adapters"] + parts["gradients"] + parts["optimizer"]
    limit = "" if memory.limit is None else f" of {size(memory.limit)}"
    return [
        ("Bins", f"up to {memory.bin_tokens:,} tokens, activations {'recomputed' if memory.recompute else 'kept'}"),
        ("Base's weights", size(parts["weights"])),
        ("Adapters with AdamW", size(trained)),
        ("Activations", size(parts["activations"])),
        ("Logits, working space", size(parts["logits"] + parts["working space"])),
        ("Libraries", size(parts["context"])),
        ("Needed", f"{size(memory.total)}{limit}{'' if memory.fits else ': does not fit'}"),
    ]


def _time_rows(plan: Plan, opened_wall: float) -> list[tuple[str, str]]:
    """Each part, then each phase with the instant at which it ends."""
    parts = [
        (part.capitalize(), f"{duration(seconds):>8} {seconds:>10,.0f} s") for part, seconds in plan.estimated_s.items()
    ]
    rows = [*parts, ("Estimated duration", f"{duration(plan.total_s):>8} {plan.total_s:>10,.0f} s")]
    passed = 0.0
    for phase, seconds in plan.phases_s.items():
        passed += seconds
        name = f"Phase {phase}"
        rows.append((name, f"{duration(seconds):>8} {seconds:>10,.0f} s  until {_instant(opened_wall + passed)}"))
    rows.append(("Completion", _instant(opened_wall + plan.total_s)))
    if plan.window_s is not None:
        rows.append((f"Fits in the {duration(plan.window_s)} window", "yes" if plan.in_time else "no"))
        rows.append(
            ("Window ends", f"{_instant(opened_wall + plan.window_s)}, {duration(plan.reserve_s)} kept for the end")
        )
    return rows


def _instant(wall: float) -> str:
    return f"{dt.datetime.fromtimestamp(wall).astimezone():%Y-%m-%d %H:%M:%S}"
