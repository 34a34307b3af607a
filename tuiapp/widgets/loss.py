"""The loss: raw values as a dim band, the smoothed curve, validation as diamonds, the best as a star."""

from __future__ import annotations

from states.phases import Phase
from states.view import RunView
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.ink import Row, say
from tuiapp.widgets.chart import Chart, Mark, draw
from tuiapp.widgets.panel import Sheet

TARGETS = (1.5, 0.92)
"""Validation losses the training procedure aims at: below 1.5, and a perplexity below 2.5."""


def inputs(frame: Frame) -> tuple[object, ...]:
    """What the panel is painted from."""
    view = frame.view
    drawn = (view.loss, view.smooth, view.evaluations, view.best, view.checkpoints, view.window.opened_wall)
    return (*drawn, view.plan, view.phase, view.progress.loss, frame.by_time, frame.glyphs)


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """The chart fills the panel; the newest numbers stand in its frame."""
    progress = frame.view.progress
    title = say(
        ("loss ", ink.TITLE),
        (fmt.loss(progress.smooth_loss if progress.smooth_loss is not None else progress.loss), ink.CURVE),
        (f" {trend(frame)}", ink.CURVE),
    )
    return Sheet(title=title, caption=legend(frame, width), body=draw(chart(frame), frame, width, height))


def chart(frame: Frame) -> Chart:
    """The chart of the view's loss."""
    view, glyphs = frame.view, frame.glyphs
    marks = [
        Mark(step=e.step, wall=e.wall, value=e.loss, glyph=glyphs.diamond, style=ink.VALIDATION)
        for e in view.evaluations
        if e.loss is not None
    ]
    if view.best is not None and view.best.loss is not None:
        best = view.best
        marks.append(Mark(step=best.step, wall=best.wall, value=best.loss, glyph=glyphs.star, style=ink.BEST))
    marks += [
        Mark(step=saved.step, wall=saved.wall, value=None, glyph=glyphs.disc, style=ink.GOOD)
        for saved in view.checkpoints
    ]
    warmup = view.plan.warmup_steps if view.plan is not None and view.phase is not Phase.WARMUP else 0
    return Chart(band=view.loss, curve=view.smooth, marks=marks, boundaries=(warmup,) if warmup > 1 else ())


def legend(frame: Frame, width: int) -> Row:
    """As much of the legend as fits beside the title."""
    view, glyphs = frame.view, frame.glyphs
    newest = next((e for e in reversed(view.evaluations) if e.loss is not None), None)
    row: Row = []
    if width >= 84:
        row += say((f"{glyphs.dot}{glyphs.dot} raw   ", ink.BAND), (f"{glyphs.horizontal * 2} smooth   ", ink.CURVE))
    if newest is not None:
        row += say((f"{glyphs.diamond} ", ink.VALIDATION), ("val ", ink.LABEL), (fmt.loss(newest.loss), ink.VALIDATION))
        if width >= 84:
            row += say((f" ppl {fmt.perplexity(newest.loss)}", ink.LABEL))
    if view.best is not None and view.best.loss is not None:
        row += say(
            ("   " if width >= 84 else " ", ink.PLAIN),
            (f"{glyphs.star} ", ink.BEST),
            ("best ", ink.LABEL) if width >= 46 else ("", ink.LABEL),
            (fmt.loss(view.best.loss), ink.BEST),
            (f" @{fmt.short(view.best.step)}" if width >= 40 else "", ink.LABEL),
        )
        row += waiting(frame) if width >= 70 else []
    return row


def waiting(frame: Frame) -> Row:
    """How many evaluations in a row brought nothing, of those that are waited for."""
    view = frame.view
    safety = view.config.get("safety")
    patience = safety.get("early_stopping_patience") if isinstance(safety, dict) else None
    if not view.evals_since_best or view.ending is not None:
        return []
    last = isinstance(patience, int) and view.evals_since_best >= patience - 1
    number = f"{view.evals_since_best}/{patience}" if isinstance(patience, int) else f"{view.evals_since_best}"
    return say(("   no gain ", ink.LABEL), (number, ink.WARN if last else ink.PLAIN))


def trend(frame: Frame) -> str:
    """Whether the smoothed loss fell or rose over the last tenth of the run."""
    glyphs, buckets = frame.glyphs, frame.view.smooth.buckets
    if len(buckets) < 4:
        return glyphs.level
    now = buckets[-1]
    then = buckets[-max(2, len(buckets) // 10)]
    change = (now.total / now.count) - (then.total / then.count)
    if abs(change) < 1e-3 * max(1e-9, abs(now.total / now.count)):
        return glyphs.level
    return glyphs.down if change < 0 else glyphs.up


def targets(view: RunView) -> tuple[bool, bool] | None:
    """Whether the best validation loss meets each target; None before the first evaluation."""
    if view.best is None or view.best.loss is None:
        return None
    return view.best.loss < TARGETS[0], view.best.loss < TARGETS[1]
