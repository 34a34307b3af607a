"""The whole run in four lines, for screens too small for panels."""

from __future__ import annotations

from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame, Stage
from tuiapp.ink import Row, cells, clip, inert, say, spread
from tuiapp.meter import recent, spark
from tuiapp.outlook import outlook
from tuiapp.widgets.budget import window_bar
from tuiapp.widgets.panel import Sheet


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """Phase and step, the window, the loss; the phase alone where there is one row."""
    view, glyphs = frame.view, frame.glyphs
    phase = say((f" {glyphs.disc} {view.phase.name} ", ink.CHIP_WARN if view.paused else ink.CHIP), (" ", ink.PLAIN))
    if view.ending is not None:
        phase += say((f"{view.ending.outcome} ", ink.BRIGHT))
    elif view.task is not None and frame.stage is Stage.PREPARE:
        phase += say((clip(inert(view.task.name), max(4, width - 14), glyphs.ellipsis), ink.PLAIN))
    step: Row = []
    if view.plan is not None and view.plan.planned_steps and frame.stage is not Stage.PREPARE:
        step = say(
            (f"{fmt.count(view.progress.step)}", ink.BRIGHT), (f"/{fmt.count(view.plan.planned_steps)}", ink.LABEL)
        )
    sight = outlook(frame)
    left = say(
        (f" {fmt.brief(sight.left_s)} left" if sight.left_s is not None else f" {fmt.brief(sight.used_s)}", ink.BRIGHT)
    )
    slack = (
        say((f" slack {fmt.brief(sight.slack_s)}", ink.BAD if sight.late else ink.LABEL))
        if sight.slack_s is not None
        else []
    )
    room = width - cells(left) - cells(slack)
    numbers = say(
        ("loss ", ink.LABEL),
        (fmt.loss(view.progress.smooth_loss), ink.CURVE),
        (f"  val {fmt.loss(view.best.loss)}" if view.best is not None else "", ink.VALIDATION),
        (" ", ink.PLAIN),
    )
    curve = spark(recent(view.smooth, width), max(0, width - cells(numbers)), ink.CURVE, glyphs)
    rows = [
        spread(phase, step, width),
        [*window_bar(sight, max(4, room), frame), *left, *slack],
        [*numbers, *curve],
        say(
            ("tok/s ", ink.LABEL),
            (fmt.short(view.progress.tokens_per_s), ink.SPEED),
            ("  lr ", ink.LABEL),
            (fmt.rate(view.progress.lr), ink.RATE),
        ),
    ]
    return Sheet(body=rows[:height])
