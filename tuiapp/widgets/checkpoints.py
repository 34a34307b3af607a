"""What is safe on disk, and what would be lost if the machine went away at this moment."""

from __future__ import annotations

from rich.style import Style

from states.phases import TRAINING, Cause
from states.view import RunView, Saved
from states.wording import size
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.ink import Row, cells, say
from tuiapp.widgets.panel import Sheet

DEFAULT_INTERVAL_MINUTES = 30.0


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """The risk first, then the newest, the best, the next, and a table where rows are left."""
    view = frame.view
    saved = view.checkpoints
    title = say(("checkpoints ", ink.TITLE), (str(len(saved)), ink.BRIGHT))
    caption = (
        say((f"{frame.glyphs.spinner[int(frame.now * 4) % len(frame.glyphs.spinner)]} saving", ink.NOTE))
        if view.saving
        else []
    )
    if not caption and width >= 34 and saved:
        caption = say((size(sum(item.bytes for item in saved)), ink.LABEL))
    body = [risk(frame, width)]
    newest, best = (saved[-1] if saved else None), _best(view)
    if newest is None:
        body.append(say(("none saved yet", ink.FAINT)))
    elif height >= 6:
        body += _table(frame, width, height - 2)
    else:
        body.append(_line("last", newest, frame))
        if best is not None:
            body.append(_line("best", best, frame))
    due = following(frame, width)
    if due is not None:
        body.append(due)
    return Sheet(title=title, caption=caption, body=body[:height])


def risk(frame: Frame, width: int) -> Row:
    """`if killed now: lose 540 steps, 11m`."""
    view = frame.view
    if view.ending is not None or not view.progress.step:
        return say(("nothing at risk", ink.FAINT))
    newest = view.checkpoints[-1] if view.checkpoints else None
    steps = view.progress.step - (newest.step if newest else 0)
    since = newest.wall if newest else view.phase_walls.get("warmup", view.phase_walls.get("main"))
    lost_s = None if since is None else max(0.0, frame.now - since)
    if steps <= 0:
        return say((f"{frame.glyphs.check} ", ink.GOOD), ("everything is on disk", ink.PLAIN))
    style = ink.WARN if lost_s is not None and lost_s > 1.5 * interval_s(view) else ink.BRIGHT
    lead = "if killed now: lose " if width >= 42 else "at risk: " if width >= 22 else ""
    return say(
        (lead, ink.LABEL),
        (f"{fmt.count(steps)} step{'s' if steps != 1 else ''}", style),
        (f" {fmt.brief(lost_s)}", style),
    )


def interval_s(view: RunView) -> float:
    """Seconds between scheduled checkpoints, from the resolved configuration."""
    safety = view.config.get("safety")
    value = safety.get("checkpoint_interval_minutes") if isinstance(safety, dict) else None
    return 60 * (float(value) if isinstance(value, int | float) else DEFAULT_INTERVAL_MINUTES)


def following(frame: Frame, width: int) -> Row | None:
    """When the next scheduled save is due."""
    view = frame.view
    if view.phase not in TRAINING or (not frame.running and frame.playhead is None):
        return None
    newest = view.checkpoints[-1] if view.checkpoints else None
    since = newest.wall if newest else view.phase_walls.get("warmup", view.phase_walls.get("main"))
    if since is None:
        return None
    at = since + interval_s(view)
    row = say(
        ("next ", ink.LABEL),
        (fmt.time_of_day(at), ink.BRIGHT),
        (f" in {fmt.brief(max(0.0, at - frame.now))}", ink.LABEL),
    )
    more = say((f"  takes {fmt.lasting(newest.save_s)}", ink.LABEL)) if newest else []
    return [*row, *more] if cells(row) + cells(more) <= width else row


def _best(view: RunView) -> Saved | None:
    return next((item for item in reversed(view.checkpoints) if item.best), None)


def _line(name: str, item: Saved, frame: Frame) -> Row:
    glyphs = frame.glyphs
    mark: tuple[str, Style] = (f"{glyphs.star} ", ink.BEST) if name == "best" else (f"{glyphs.disc} ", ink.GOOD)
    return say(
        mark,
        (f"{name} ", ink.LABEL),
        (f"@{fmt.count(item.step)}", ink.BRIGHT),
        (f" {fmt.brief(max(0.0, frame.now - item.wall))} ago" if name == "last" else "", ink.LABEL),
        (f" {fmt.loss(item.eval_loss)}" if name == "best" and item.eval_loss is not None else "", ink.VALIDATION),
    )


def _table(frame: Frame, width: int, room: int) -> list[Row]:
    """Newest first: step, age, size, time to write, validation loss, cause."""
    glyphs = frame.glyphs
    wide = width >= 38
    head = f"  {'step':>7} {'age':>5} {'size':>9}" + (f" {'write':>6}" if wide else "") + f" {'val':>6}"
    rows = [say((head, ink.FAINT))]
    for item in reversed(frame.view.checkpoints):
        mark: tuple[str, Style] = (f"{glyphs.star} ", ink.BEST) if item.best else (f"{glyphs.disc} ", ink.GOOD)
        rows.append(
            say(
                mark,
                (f"{fmt.count(item.step):>7}", ink.BRIGHT),
                (f" {fmt.brief(max(0.0, frame.now - item.wall)):>5} {size(item.bytes):>9}", ink.PLAIN),
                (f" {fmt.lasting(item.save_s):>6}" if wide else "", ink.PLAIN),
                (f" {fmt.loss(item.eval_loss):>6}", ink.VALIDATION if item.eval_loss is not None else ink.FAINT),
                (" by hand" if item.cause is Cause.OPERATOR and width >= 46 else "", ink.LABEL),
            )
        )
    return rows[: max(0, room)]
