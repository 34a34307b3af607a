"""The second line: the six phases, the one the run is in, and what it is doing there."""

from __future__ import annotations

from states.phases import Phase
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame, Link
from tuiapp.ink import Row, cells, say, spread
from tuiapp.meter import bar
from tuiapp.widgets.panel import Sheet


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """One row: done, current and coming phases; at the right the running task or the step."""
    right = doing(frame, width)
    for timed, link in (
        (True, f" {frame.glyphs.link * 2} "),
        (True, f" {frame.glyphs.link} "),
        (False, " "),
        (False, ""),
    ):
        left = phases(frame, timed=timed, link=link)
        if cells(left) + cells(right) + 2 <= width:
            return Sheet(body=[spread(left, right, width)])
    return Sheet(body=[spread(phases(frame, timed=False, link=" "), [], width)])


def phases(frame: Frame, *, timed: bool, link: str) -> Row:
    """The ribbon itself. A phase that was passed over (a resume skips the warm-up) is faint and unmarked."""
    view, glyphs = frame.view, frame.glyphs
    row = say((" ", ink.PLAIN))
    order = list(Phase)
    here = order.index(view.phase)
    entered = [view.phase_walls.get(phase) for phase in order]
    for index, phase in enumerate(order):
        if index:
            row += say((link, ink.FAINT if index <= here else ink.GRID))
        name = phase.name
        if index == here:
            lost = frame.link in {Link.LOST, Link.FAILED}
            final = phase is Phase.STOPPED
            mark = glyphs.cross if lost else glyphs.check if final else glyphs.disc
            style = ink.CHIP_BAD if lost else ink.CHIP_WARN if view.paused else ink.CHIP
            spent = frame.now - view.phase_since
            took = f" {fmt.brief(spent)}" if timed and view.phase_since and not final and spent >= 1 else ""
            row += say((f" {mark} {name}{took} ", style))
            continue
        start = entered[index]
        if index < here and start is not None:
            later = [wall for wall in entered[index + 1 :] if wall is not None]
            took = f" {fmt.brief(min(later) - start)}" if timed and later else ""
            row += say((f"{glyphs.check} ", ink.GOOD), (name, ink.LABEL), (took, ink.FAINT))
        elif index < here:
            row += say((f"{glyphs.separator} {name}", ink.GRID))
        else:
            row += say((f"{glyphs.ring} {name}", ink.FAINT))
    return row


def doing(frame: Frame, width: int) -> Row:
    """The running task with its progress, else the step."""
    view, glyphs = frame.view, frame.glyphs
    task = view.task
    if task is not None and frame.running and view.phase in {Phase.WARMUP, Phase.MAIN, Phase.FINALIZE}:
        spinner = glyphs.spinner[int(frame.now * 4) % len(glyphs.spinner)]
        row = say((f"{spinner} ", ink.NOTE), (task.name, ink.BRIGHT))
        if task.total:
            row += say((f" {fmt.count(task.done or 0)}/{fmt.count(task.total)}", ink.PLAIN))
        return [*row, *say((f" {fmt.brief(max(0.0, frame.now - task.started_wall))} ", ink.LABEL))]
    if view.plan is None or not view.plan.planned_steps or view.phase in {Phase.SETUP, Phase.INIT}:
        return []
    done, total = view.progress.step, view.plan.planned_steps
    row = say(
        ("step ", ink.LABEL),
        (fmt.count(done), ink.BRIGHT),
        (f"/{fmt.count(total)}", ink.LABEL),
        (f" {fmt.percent(done / total)} ", ink.BRIGHT),
    )
    if width >= 120:
        return [*bar(done / total, min(24, width // 8), ink.CURVE, glyphs), *say((" ", ink.PLAIN)), *row]
    return row
