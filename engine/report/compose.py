"""From a story to the document: the verdict first, then what decides, then how it went, then what it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from engine.report.document import Advices, Notice, Report, Section
from engine.report.facts import Story
from engine.report.rules.book import recommend
from engine.report.sections.data import data
from engine.report.sections.experts import expert_section
from engine.report.sections.quality import details, quality
from engine.report.sections.setup import configuration, environment
from engine.report.sections.timing import time, timeline
from engine.report.sections.training import training
from engine.report.verdict import LOSS_TARGET, PERPLEXITY_TARGET, verdict
from engine.report.words import instant
from states.portable import known_paths, portable, portable_name
from states.text import one_line
from states.wording import perplexity


def compose(story: Story) -> Report:
    """Return the whole document. A journal without records gives one paragraph and nothing else.

    A report is handed on, so no path in it says where on somebody's machine a file lies.
    """
    story = _readable(story)
    told: Report = _portable(_compose(story), _known_paths(story))
    return told


def _compose(story: Story) -> Report:
    view = story.view
    title = f"Training report: {story.name}"
    if view.seq < 0:
        return Report(title=title, subtitle="", verdict=verdict(story), sections=(), summary=_summary(story))
    base = portable_name(view.model.base_model) if view.model else ""
    told = [f"run {one_line(view.identity.run_id, 40)}", f"as of {instant(view.wall)}"]
    if base:
        told.insert(1, one_line(f"base {base}", 80))
    if story.beside.tracker_id:
        told.append(f"W&B {story.beside.tracker_id}")
    chapters = (
        quality(story),
        _advice(story),
        training(story),
        expert_section(story),
        data(story),
        time(story),
        timeline(story),
        details(story),
        configuration(story),
        environment(story),
    )
    return Report(
        title=title,
        subtitle=" \u00b7 ".join(told),
        verdict=verdict(story),
        sections=tuple(each for each in chapters if each is not None),
        summary=_summary(story),
    )


def _known_paths(story: Story) -> frozenset[str]:
    named = [story.view.model.base_model] if story.view.model else []
    judged = story.beside.evaluation.model if story.beside.evaluation else {}
    return known_paths([story.view.config, named, judged])


def _portable(value: Any, known: frozenset[str]) -> Any:
    """The same document with all its texts portable."""
    if isinstance(value, str):
        return portable(value, known) if type(value) is str and "/" in value else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _portable(getattr(value, each.name), known) for each in fields(value)})
    if isinstance(value, tuple):
        return tuple(_portable(each, known) for each in value)
    if isinstance(value, Mapping):
        return {name: _portable(each, known) for name, each in value.items()}
    return value


def _readable(story: Story) -> Story:
    """The story, without an evaluation whose values are not what they are called: other programs may write one."""
    try:
        quality(story)
        details(story)
        verdict(story)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        if story.beside.evaluation is None:
            raise
        problem = f"The evaluation cannot be read: {type(error).__name__}"
        return replace(story, beside=replace(story.beside, evaluation=None, evaluation_problem=problem))
    return story


def _advice(story: Story) -> Section:
    found = recommend(story)
    if not found:
        told = "No rule fired: nothing in this run asks for a change."
        return Section(id="advice", title="For the next run", blocks=(Notice(text=told),))
    return Section(id="advice", title="For the next run", blocks=(Advices(items=found),))


def _summary(story: Story) -> dict[str, Any]:
    """Flat numbers for scripts; None is unknown."""
    view, base, tuned = story.view, story.base, story.tuned
    end, plan, found = view.ending, story.plan, story.beside.evaluation
    final = tuned.loss if tuned else None
    after = perplexity(final)
    return {
        "run_id": view.identity.run_id,
        "wandb_run_id": story.beside.tracker_id,
        "state": story.liveness.value,
        "outcome": end.outcome.value if end else None,
        "reason": end.reason.value if end else None,
        "exit_code": end.exit_code if end else None,
        "phase": view.phase.value,
        "step": view.progress.step,
        "planned_steps": plan.planned_steps if plan else None,
        "wanted_steps": story.wanted_steps or None,
        "tokens": view.progress.tokens,
        "base_loss": base.loss if base else None,
        "final_loss": final,
        "final_loss_scope": tuned.scope if tuned else None,
        "base_perplexity": perplexity(base.loss) if base else None,
        "final_perplexity": after,
        "loss_target_met": None if final is None else final < LOSS_TARGET,
        "perplexity_target_met": None if after is None else after < PERPLEXITY_TARGET,
        "best_step": story.best.step if story.best else None,
        "planned_s": sum(plan.estimated_s.values()) if plan else None,
        "actual_s": story.wall_s - story.spent.down,
        "attempts": len(story.attempts),
        "safety": found.headline if found else None,
        "red_failures": len(found.red_failures) if found else None,
        "recommendations": [each.rule for each in recommend(story)] if view.seq >= 0 else [],
        "opened_wall": story.opened_wall,
        "updated_wall": view.wall if view.seq >= 0 else None,
    }
