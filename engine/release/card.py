"""The model card: what a stranger must know before using a model, with metadata that hubs and tools read.

It says what the model is not for before it says how to load it. Names from data and configuration are data: whatever
they hold, they cannot become markup.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from engine.quality.findings import Evaluation
from states.portable import portable_name
from states.text import one_line
from states.wording import number

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MARKUP = frozenset("\\`*_{}[]<>()#+!|&$~")

NOT_FOR = (
    "This model is not a clinician and not a crisis service. It must not be used with people who may be in danger, nor "
    "to diagnose, to advise on medication, or in place of a person. Whoever puts it before people answers for it: "
    "evaluate it, show that it is a machine, and give a way to a human being."
)
MEANT_FOR = "Research and development of supportive conversation, with adults, under human supervision."


def model_card(
    info: Mapping[str, Any],
    *,
    title: str,
    what: str,
    usage: str,
    library: str = "peft",
    license_id: str | None = None,
    evaluation: Evaluation | None = None,
) -> str:
    """The card as Markdown.

    Args:
        info: model_info.json as a mapping; what it lacks is said to be unmeasured.
        title: the model's name.
        what: paragraphs on what the files are, already Markdown of ours.
        usage: how to load them, Markdown of ours.
        library: `peft` or `transformers`.
        license_id: a licence identifier for the metadata; none is claimed without it.
        evaluation: what `evaluate` found about this model.
    """
    parts = [
        f"---\n{_metadata(info, title, library, license_id)}\n---",
        f"# {inert(title)}",
        what,
        f"## Not for people in distress\n\n{NOT_FOR}\n\n{_safety(evaluation)}",
        f"## Meant for\n\n{MEANT_FOR}",
        f"## How to load it\n\n{usage}",
        f"## Training\n\n{_table(_training(info))}",
        _domains(info),
        "Made with Stint. No conversation is part of these files, but a language model can repeat what it was trained "
        "on: keep it as private as the conversations.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def inert(text: object) -> str:
    """A foreign name inside a page that others will render."""
    return "".join(f"&#{ord(letter)};" if letter in _MARKUP else letter for letter in one_line(str(text), 200))


def hub_id(base: object) -> str | None:
    """`owner/name` where the base is one, None for a folder of somebody's machine."""
    return base if isinstance(base, str) and _HUB_ID.fullmatch(base) else None


def _metadata(info: Mapping[str, Any], title: str, library: str, license_id: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    loss = info.get("final_loss")
    results = None
    if isinstance(loss, float) and math.isfinite(loss):
        results = [
            EvalResult(
                task_type="text-generation",
                dataset_type="private",
                dataset_name="held-out conversations",
                metric_type="loss",
                metric_value=round(loss, 6),
            )
        ]
    data = ModelCardData(
        base_model=hub_id(info.get("base_model")),
        library_name=library,
        pipeline_tag="text-generation",
        license=license_id,
        tags=["lora", "stint"],
        model_name=re.sub(r"[^\w.-]+", "-", title)[:100].strip("-") or "model",
        eval_results=results,
    )
    return str(data.to_yaml())


def _training(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    loss = info.get("final_loss")
    digests = [str(each)[:16] for each in info.get("dataset_sha256", ())]
    rows = [
        ("base model", inert(portable_name(str(info.get("base_model", "unknown"))))),
        ("architecture", f"{inert(info.get('architecture', 'unknown'))}, rank {inert(info.get('lora_rank', '?'))}"),
        ("training conversations", _count(info.get("dataset_size"))),
        ("training data, SHA-256", ", ".join(f"`{each}...`" for each in digests if each.isalnum()) or "not recorded"),
        ("best step", _count(info.get("best_step"))),
        ("hours of steps", _loss(info.get("training_hours"), ".2f")),
        ("validation loss before", _loss(info.get("start_loss"))),
        ("validation loss after", _loss(loss)),
        ("validation perplexity after", _loss(math.exp(min(loss, 700.0)), ".3f") if _real(loss) else "not measured"),
        ("run", inert(info.get("run_id", "unknown"))),
        ("date", inert(info.get("training_date", "unknown"))),
    ]
    if "version" in info:
        rows.append(("version", inert(info["version"])))
    return rows


def _domains(info: Mapping[str, Any]) -> str:
    losses = info.get("loss_by_domain")
    if not isinstance(losses, Mapping) or not losses:
        return ""
    rows = [
        ("domain", "validation loss"),
        ("---", "---"),
        *((inert(name), _loss(each)) for name, each in losses.items()),
    ]
    return "\n".join(f"| {a} | {b} |" for a, b in rows)


def _safety(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "Its safety was not evaluated here."
    lines = [f"`evaluate` says: **{evaluation.headline}**. These are research checks, not clinical validation."]
    failed = evaluation.red_failures + evaluation.yellow_failures
    lines += [f"- {check.severity.value}: {inert(check.title)}" for check in failed]
    return "\n".join(lines)


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _real(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _loss(value: Any, form: str = ".4f") -> str:
    return number(float(value), form) if _real(value) else "not measured"


def _count(value: Any) -> str:
    return f"{value:,}" if type(value) is int else "not recorded"
