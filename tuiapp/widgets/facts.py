"""What is going to be trained on what: data, model and plan, while there is nothing to plot."""

from __future__ import annotations

from rich.style import Style

from states.view import Dataset, Model, Plan
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.ink import Row, cells, say, wrap
from tuiapp.widgets.panel import Sheet

NAME = 7
"""Cells of a line's name."""
Part = tuple[str, str]
"""A number (or a name) and its unit."""


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """Data, model, steps and time, on as many rows as they need, then the notes."""
    view = frame.view
    groups: list[tuple[str, list[Part]]] = []
    if view.dataset is not None:
        groups.append(("data", _data(view.dataset)))
    if view.model is not None:
        groups.append(("model", _model(view.model)))
    if view.plan is not None:
        groups += [("steps", _steps(view.plan)), ("time", _time(view.plan))]
    roomy = height >= 16
    body: list[Row] = []
    for name, parts in groups:
        body += [*_flow(name, parts, frame, width), *([[]] if roomy else [])]
    notes = (
        *(view.plan.changes if view.plan is not None else ()),
        *(view.dataset.notes if view.dataset is not None else ()),
    )
    for text in notes:
        rows = wrap(text, width - 2, ink.LABEL, most=4 if roomy else 2, ellipsis=frame.glyphs.ellipsis)
        body += [
            [*say((f"{frame.glyphs.warn if not index else ' '} ", ink.NOTE)), *row] for index, row in enumerate(rows)
        ]
    if not body:
        body = [say(("the plan follows the data", ink.FAINT))]
    plan = view.plan
    caption = say((f"{plan.profile} ", ink.PLAIN), (f"speed {plan.source}", ink.LABEL)) if plan is not None else []
    return Sheet(title=say(("plan", ink.TITLE)), caption=caption, body=body[:height])


def _data(data: Dataset) -> list[Part]:
    return [
        (fmt.count(data.train_conversations), "conversations"),
        (fmt.count(data.eval_conversations), "for validation"),
        (fmt.short(data.train_tokens), "tokens an epoch"),
        (str(len(data.domains)), "domains"),
    ]


def _model(model: Model) -> list[Part]:
    share = model.trainable_params / model.params if model.params else 0.0
    experts = (str(model.experts), f"experts, top {model.top_k}") if model.experts > 1 else ("LoRA", "one adapter")
    return [
        (short_name(model.base_model), ""),
        (fmt.short(model.params), "parameters"),
        (fmt.short(model.trainable_params), f"trained ({100 * share:.2f}%)"),
        experts,
        (model.dtype, f"on {model.device}"),
    ]


def _steps(plan: Plan) -> list[Part]:
    return [
        (fmt.count(plan.planned_steps), "steps"),
        (f"{plan.epochs:g}", "epochs"),
        (fmt.count(plan.warmup_steps), "warm-up"),
        (fmt.count(plan.conversations_per_step), "conversations each"),
        (fmt.short(plan.tokens_per_step), "tokens each"),
        (fmt.count(plan.eval_every), "between evaluations"),
    ]


def _time(plan: Plan) -> list[Part]:
    total = sum(plan.estimated_s.values())
    parts = [(fmt.duration(total), "in all")] if total else []
    parts += [(fmt.brief(seconds), name) for name, seconds in plan.estimated_s.items() if seconds >= 1]
    return [*parts, (fmt.short(plan.tokens_per_s), "tokens/s")]


def short_name(model: str) -> str:
    """The last part of a hub id or a path; the last two where one says nothing (`demo/base`)."""
    parts = model.rstrip("/").split("/")
    return parts[-1] if len(parts[-1]) >= 6 else "/".join(parts[-2:])


def _flow(name: str, parts: list[Part], frame: Frame, width: int) -> list[Row]:
    """`name  12 this . 34 that`, going on in the next row where the width ends."""
    rows: list[Row] = []
    row = say((name.ljust(NAME), ink.LABEL))
    fresh = True
    for number, unit in parts:
        pieces: list[tuple[str, Style]] = [(number, ink.BRIGHT), (f" {unit}" if unit else "", ink.PLAIN)]
        glue = say((f" {frame.glyphs.separator} ", ink.FAINT))
        if not fresh and cells(row) + 3 + cells(say(*pieces)) > width:
            rows.append(row)
            row, fresh = say((" " * NAME, ink.LABEL)), True
        row += ([] if fresh else glue) + say(*pieces)
        fresh = False
    return [*rows, row]
