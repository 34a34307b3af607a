"""Setup and Init: what is being done, how far it is, how long it has taken; instead of an empty chart."""

from __future__ import annotations

from rich.style import Style

from states.phases import Phase
from states.view import Plan
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame, Link
from tuiapp.ink import Row, cells, say, spread, wrap
from tuiapp.meter import bar
from tuiapp.widgets.panel import Sheet

AHEAD = {
    Phase.SETUP: "configuration, data, plan",
    Phase.INIT: "model, adapters, experts, optimizer",
    Phase.WARMUP: "learning rate rises to its peak",
    Phase.MAIN: "training towards the deadline",
    Phase.FINALIZE: "final evaluation, best model, report",
}
"""What each phase is for, in a few words."""


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """The phase, its running task with a bar, and what was done before."""
    view = frame.view
    if frame.link is Link.STARTING or view.seq < 0:
        return Sheet(title=say(("starting engine", ink.TITLE)), body=_waiting(frame, width, height))
    title = say((f"{view.phase.name.lower()} ", ink.TITLE), (AHEAD.get(view.phase, ""), ink.LABEL))
    elapsed = max(0.0, frame.now - view.phase_since) if view.phase_since else None
    caption = say((fmt.timer(elapsed), ink.LABEL)) if elapsed is not None else []
    body: list[Row] = []
    done = _done(frame, width)
    running = _running(frame, width)
    room = max(0, height - len(running) - 1)
    body += done[-room:] if room else []
    body += running
    coming = _coming(frame, width)
    if height - len(body) > len(coming):
        body += [[] for _ in range(min(2, height - len(body) - len(coming)))] + coming
    return Sheet(title=title, caption=caption, body=body[:height])


def _waiting(frame: Frame, width: int, height: int) -> list[Row]:
    glyphs = frame.glyphs
    spinner = glyphs.spinner[int(frame.now * 4) % len(glyphs.spinner)]
    what = "reading the journal" if frame.link is Link.LOADING else "starting engine" + glyphs.ellipsis
    rows: list[Row] = [[] for _ in range(max(0, height // 3))]
    rows.append(
        say(
            (f"{spinner} ", ink.NOTE),
            (what, ink.BRIGHT),
            (f"  {fmt.duration(max(0.0, frame.now - frame.started))}", ink.LABEL),
        )
    )
    rows.append([])
    hint = "Training runs in a process of its own: it goes on when this window is closed. q leaves, and training stays."
    return [*rows, *wrap(hint, width, ink.FAINT, most=3)][:height]


def _done(frame: Frame, width: int) -> list[Row]:
    """Lines of the feed about the preparation, as a list of what is behind."""
    began = frame.view.phase_walls.get(Phase.SETUP, 0.0)
    rows: list[Row] = []
    for line in frame.view.feed:
        if line.wall < began:
            continue
        mark, style = _mark(line.tone, frame)
        head = say((f"{fmt.time_of_day(line.wall, seconds=True)} ", ink.FAINT), (f"{mark} ", style))
        indent = say((" " * cells(head), ink.PLAIN))
        broken = wrap(line.text, max(1, width - cells(head)), ink.PLAIN, most=2, ellipsis=frame.glyphs.ellipsis)
        rows += [[*(indent if index else head), *row] for index, row in enumerate(broken)]
    return rows


def _coming(frame: Frame, width: int) -> list[Row]:
    """The phases ahead, with what the plan says of them."""
    plan, glyphs = frame.view.plan, frame.glyphs
    order = list(Phase)
    rows: list[Row] = []
    for phase in order[order.index(frame.view.phase) + 1 : -1]:
        row = say((f"{glyphs.ring} ", ink.FAINT), (f"{phase.value:<9} ", ink.LABEL), (AHEAD[phase], ink.FAINT))
        rows.append(spread(row, say((_size(phase, plan), ink.LABEL)), width))
    return rows


def _size(phase: Phase, plan: Plan | None) -> str:
    if plan is None:
        return ""
    if phase is Phase.WARMUP:
        return f"{fmt.count(plan.warmup_steps)} steps"
    if phase is Phase.MAIN:
        return f"{fmt.count(max(0, plan.planned_steps - plan.warmup_steps))} steps"
    seconds = plan.estimated_s.get(phase.value)
    return f"about {fmt.duration(seconds)}" if seconds else ""


def _mark(tone: str, frame: Frame) -> tuple[str, Style]:
    glyphs = frame.glyphs
    return {"warn": (glyphs.warn, ink.WARN), "bad": (glyphs.cross, ink.BAD)}.get(tone, (glyphs.check, ink.GOOD))


def _running(frame: Frame, width: int) -> list[Row]:
    task, glyphs = frame.view.task, frame.glyphs
    spinner = glyphs.spinner[int(frame.now * 4) % len(glyphs.spinner)]
    if task is None:
        return [say((f"{spinner} ", ink.NOTE), ("working", ink.LABEL))]
    spent = max(0.0, frame.now - task.started_wall)
    head = say(
        (f"{spinner} ", ink.NOTE), (task.name, ink.BRIGHT), (f"  {task.detail}" if task.detail else "", ink.LABEL)
    )
    rows = [spread(head, say((fmt.duration(spent), ink.BRIGHT)), width)]
    if task.total:
        done = task.done or 0
        share = done / task.total
        left = (spent / share - spent) if share > 0.02 and spent >= 1 else None
        numbers = f" {fmt.count(done)}/{fmt.count(task.total)} {fmt.percent(share):>4}"
        numbers += f" {fmt.brief(left)} left" if left is not None and width >= 50 else ""
        rows.append(
            [
                *say(("  ", ink.PLAIN)),
                *bar(share, max(4, width - 2 - len(numbers)), ink.NOTE, glyphs),
                *say((numbers, ink.PLAIN)),
            ]
        )
    return rows
