"""Where the time went: estimated against actual by phase, and the run on the clock with all that happened in it."""

from __future__ import annotations

from engine.report.chart import Bar, BarChart, Dot, Lane, Mark, Stretch, Timeline
from engine.report.document import Block, Cell, Figure, Notice, Pairs, Section, Table
from engine.report.facts import Moment, Story
from engine.report.words import change, clock, count, instant
from states.phases import Outcome
from states.wording import duration, number

_PARTS = ("setup", "training", "evaluation", "checkpoints", "finalize")
_INKS = {
    "setup": "slate",
    "init": "teal",
    "warmup": "gold",
    "main": "blue",
    "finalize": "green",
    "pause": "orange",
}
MOST_LINES = 80
"""Incidents in the table; the worst are kept."""
_RANK = {"bad": 0, "warn": 1, "good": 2, "info": 3}


def time(story: Story) -> Section:
    """The chapter on time."""
    spent = story.spent
    blocks: list[Block] = []
    plan, first = story.plan, story.first_plan
    actual = {part: getattr(spent, part) for part in _PARTS}
    if plan is not None:
        bars = [Bar(label=part, values=(plan.estimated_s.get(part), actual[part])) for part in _PARTS]
        blocks.append(
            Figure(
                title="Estimated and actual time",
                wide=True,
                chart=BarChart(names=("estimated", "actual"), bars=tuple(bars)),
                caption=_estimate(story),
            )
        )
    rows = []
    for part in _PARTS:
        before = first.estimated_s.get(part) if first else None
        after = plan.estimated_s.get(part) if plan else None
        rows.append(
            (
                Cell(text=part),
                Cell(text=duration(before) if before is not None else "-"),
                Cell(text=duration(after) if after is not None else "-"),
                Cell(text=duration(actual[part]), strong=True),
                Cell(text=change(after, actual[part])),
            )
        )
    total_before = sum(first.estimated_s.values()) if first else None
    total_after = sum(plan.estimated_s.values()) if plan else None
    engine_s = story.wall_s - spent.down
    rows.append(
        (
            Cell(text="in all", strong=True),
            Cell(text=duration(total_before) if total_before is not None else "-"),
            Cell(text=duration(total_after) if total_after is not None else "-"),
            Cell(text=duration(engine_s), strong=True),
            Cell(text=change(total_after, engine_s)),
        )
    )
    blocks.append(
        Table(
            title="By part",
            columns=("part", "first estimate", "after measuring", "actual", "difference"),
            rows=tuple(rows),
            right=(1, 2, 3, 4),
            caption=_caption(story),
        )
    )
    blocks.append(Pairs(rows=tuple(_pace(story))))
    return Section(id="time", title="Time", blocks=tuple(blocks))


def _estimate(story: Story) -> str:
    told = "The estimate is the last plan's, made after the speed was measured."
    end = story.view.ending
    if end is None or end.outcome is not Outcome.FINISHED:
        return f"{told} The run did not come to its end, so what is actual is a part."
    return told


def _caption(story: Story) -> str:
    spent = story.spent
    told = []
    rest = story.wall_s - spent.booked
    if spent.paused >= 0.05:
        told.append(f"{duration(spent.paused)} paused")
    if spent.redone >= 0.05:
        told.append(f"{duration(spent.redone)} of training on steps that were lost and done again")
    if spent.down >= 0.05:
        told.append(f"{duration(spent.down)} without an engine between attempts, not counted in all")
    if rest >= 1:
        told.append(f"{duration(rest)} between these parts")
    return "Besides: " + "; ".join(told) + "." if told else ""


def _pace(story: Story) -> list[tuple[str, str]]:
    view, plan, first = story.view, story.plan, story.first_plan
    window = view.window
    rows = [("Started", instant(story.opened_wall)), ("Last record", instant(view.wall))]
    if window.deadline_wall is not None and window.opened_wall is not None:
        length = duration(window.deadline_wall - window.opened_wall)
        rows.append(("Window", f"{length}, to {instant(window.deadline_wall)}"))
        unused = window.deadline_wall - view.wall
        rows.append(("Left of it at the end", duration(unused)))
    else:
        rows.append(("Window", "none"))
    if view.progress.step:
        rows.append(("Median step", f"{number(view.progress.step_s, '.3g')} s"))
        rate = view.progress.tokens / view.progress.trained_s if view.progress.trained_s > 0 else None
        rows.append(("Tokens a second, mean", count(rate)))
    if first is not None and plan is not None:
        told = [f"{count(each.tokens_per_s)} ({each.source})" for each in (first, plan)]
        rows.append(("Tokens a second, planned", ", ".join(told if first is not plan else told[:1])))
        planned = f"{first.planned_steps:,} planned at first, {plan.planned_steps:,} after measuring"
        rows.append(("Steps", f"{view.progress.step:,} done; {planned}, {story.wanted_steps:,} for all epochs"))
    rows.append(("Attempts", count(len(story.attempts))))
    return rows


def timeline(story: Story) -> Section:
    """The chapter on what happened when."""
    blocks: list[Block] = []
    if story.opened_wall is not None and story.wall_s > 0:
        blocks.append(
            Figure(title="The run on the clock", chart=_lanes(story, story.opened_wall), wide=True,
                   caption="Time since the first record. Green evaluations were the best so far.")
        )  # fmt: skip
    if story.moments:
        blocks.append(_incidents(story, story.moments))
    else:
        blocks.append(Notice(text="Nothing out of the ordinary was recorded."))
    if len(story.attempts) > 1:
        blocks.append(_attempts(story))
    return Section(id="timeline", title="Timeline and incidents", blocks=tuple(blocks))


def _lanes(story: Story, opened: float) -> Timeline:
    phases = tuple(
        Stretch(start=each.start - opened, end=each.end - opened, ink=_INKS.get(each.name, "slate"), label=each.name)
        for each in story.spans
        if each.name != "pause"
    )
    lanes = [Lane(name="phase", stretches=phases)]
    pauses = tuple(
        Stretch(start=each.start - opened, end=each.end - opened, ink="orange", label="paused")
        for each in story.spans
        if each.name == "pause"
    )
    if pauses:
        lanes.append(Lane(name="paused", stretches=pauses))
    evaluations = tuple(
        Dot(
            at=each.wall - opened,
            tone="orange" if not each.best else "good",
            label=f"evaluation at step {each.step}" + (", best so far" if each.best else ""),
        )
        for each in story.view.evaluations[-300:]
    )
    lanes.append(Lane(name="evaluations", dots=evaluations))
    saves = tuple(Dot(at=wall - opened, tone="blue", label=f"checkpoint {step}") for wall, step in story.saves[-300:])
    lanes.append(Lane(name="checkpoints", dots=saves))
    worth = [each for each in story.moments if each.tone in {"warn", "bad"} or each.kind in {"resumed", "replanned"}]
    dots = tuple(Dot(at=each.wall - opened, tone=each.tone, label=f"{each.kind}: {each.text}") for each in worth[:300])
    lanes.append(Lane(name="incidents", dots=dots))
    deadline = story.view.window.deadline_wall
    marks: tuple[Mark, ...] = ()
    if deadline is not None and 0 <= deadline - opened <= story.wall_s:
        marks = (Mark(at=deadline - opened, label="deadline", tone="bad"),)
    return Timeline(lanes=tuple(lanes), length_s=story.wall_s, marks=marks)


def _incidents(story: Story, moments: tuple[Moment, ...]) -> Table:
    kept = sorted(range(len(moments)), key=lambda index: (_RANK.get(moments[index].tone, 3), index))[:MOST_LINES]
    shown = [moments[index] for index in sorted(kept)]
    left = len(moments) - len(shown) + story.tallies.moments_left_out
    rows = tuple(
        (
            Cell(text=clock(each.wall, story.opened_wall)),
            Cell(text=count(each.step)),
            Cell(text=each.kind, tone=each.tone if each.tone in {"warn", "bad", "good"} else ""),
            Cell(text=each.text + (f" ({each.repeated:,} times)" if each.repeated > 1 else "")),
        )
        for each in shown
    )
    return Table(
        title="Incidents",
        columns=("time", "step", "what", "details"),
        rows=rows,
        right=(0, 1),
        caption=f"{left:,} less important ones are in the journal." if left > 0 else "",
    )


def _attempts(story: Story) -> Table:
    rows = tuple(
        (
            Cell(text=count(each.number)),
            Cell(text=instant(each.opened_wall)),
            Cell(text=f"{each.first_step:,} to {each.last_step:,}"),
            Cell(text=duration(each.last_wall - each.opened_wall)),
            Cell(
                text=each.outcome.value if each.outcome else "running" if _alive(story, index) else "killed or lost",
                tone="" if each.outcome or _alive(story, index) else "bad",
            ),
        )
        for index, each in enumerate(story.attempts)
    )
    return Table(
        title="Attempts",
        columns=("attempt", "started", "steps", "lasted", "ended"),
        rows=rows[-MOST_LINES:],
        right=(0, 2, 3),
    )


def _alive(story: Story, index: int) -> bool:
    return not story.over and index == len(story.attempts) - 1
