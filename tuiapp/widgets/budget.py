"""The paid window: what is used, what is left, what is kept for Finalize, and whether the run ends in time."""

from __future__ import annotations

from itertools import pairwise

from rich.style import Style

from states.series import Series
from tuiapp import axis, ink
from tuiapp import format as fmt
from tuiapp.frame import Frame
from tuiapp.ink import Row, cells, fit, say, spread
from tuiapp.meter import bar, marked
from tuiapp.outlook import Outlook, outlook
from tuiapp.plot import Area, Dots, compose
from tuiapp.widgets.panel import Sheet


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """The bar of the window, the numbers under it, and in tall panels the work left over the window."""
    sight = outlook(frame)
    title = say(("budget ", ink.TITLE), *_verdict(sight, frame))
    rows = [window_bar(sight, width, frame), *_numbers(sight, frame, width)]
    room = height - len(rows)
    if room >= 5 and sight.deadline is not None:
        rows += burn_down(sight, frame, width, room)
    elif room >= 1:
        rows += _progress(frame, width)
    return Sheet(title=title, caption=_caption(sight, width), body=rows[:height])


def _verdict(sight: Outlook, frame: Frame) -> list[tuple[str, Style]]:
    glyphs = frame.glyphs
    if frame.view.ending is not None or sight.slack_s is None:
        return []
    if sight.late:
        return [(f"{glyphs.cross} over", ink.BAD)]
    return [(f"{glyphs.warn} tight", ink.WARN)] if sight.tight else [(f"{glyphs.check} in time", ink.GOOD)]


def _caption(sight: Outlook, width: int) -> Row:
    if sight.window_s is None:
        return say(("no deadline", ink.LABEL))
    return say((f"{fmt.brief(sight.window_s)} window", ink.LABEL)) if width >= 24 else []


def window_bar(sight: Outlook, width: int, frame: Frame) -> Row:
    """Used solid, left thin, the reserve hatched, a mark where the run should be over."""
    glyphs = frame.glyphs
    if sight.window_s is None or sight.window_s <= 0:
        plan, step = frame.view.plan, frame.view.progress.step
        share = step / plan.planned_steps if plan is not None and plan.planned_steps else 0.0
        return bar(share, width, ink.NOTE, glyphs)
    share = sight.used_s / sight.window_s
    kept = round(min(1.0, sight.reserve_s / sight.window_s) * width) if sight.reserve_s else 0
    kept = max(1, kept) if sight.reserve_s else 0
    in_reserve = sight.left_s is not None and sight.left_s < sight.reserve_s
    solid = min(width, round(share * width))
    row = say((glyphs.full * solid, ink.WARN if in_reserve else ink.NOTE), (glyphs.track * (width - solid), ink.TRACK))
    marks = dict.fromkeys(range(max(solid, width - kept), width), (glyphs.hatch, ink.FAINT))
    if sight.finish is not None and frame.view.ending is None:
        place = round((sight.finish - sight.opened) / sight.window_s * (width - 1))
        marks[min(width - 1, max(0, place))] = (
            glyphs.diamond,
            ink.BAD if sight.late else ink.WARN if sight.tight else ink.GOOD,
        )
    return marked(row, marks)


def _numbers(sight: Outlook, frame: Frame, width: int) -> list[Row]:
    tight = width < 34
    span = fmt.brief if tight else fmt.duration
    used = say(("used ", ink.LABEL), (span(sight.used_s) if tight else fmt.timer(sight.used_s), ink.BRIGHT))
    if sight.left_s is None:
        finish = say(("finish ", ink.LABEL), (fmt.moment(sight.finish, sight.now), ink.BRIGHT))
        return [spread(used, finish, width)]
    left_style = ink.WARN if sight.left_s < 2 * sight.reserve_s else ink.BRIGHT
    left = say(("left ", ink.LABEL), (span(sight.left_s) if tight else fmt.timer(sight.left_s), left_style))
    style = ink.BAD if sight.late else ink.WARN if sight.tight else ink.GOOD
    over = frame.view.ending is not None
    finish = say(
        ("ended " if over else "finish ", ink.LABEL),
        (fmt.moment(frame.view.wall if over else sight.finish, sight.now), ink.BRIGHT),
    )
    spare = sight.left_s if over else sight.slack_s
    sign = "+" if spare is not None and spare >= 0 and not over else ""
    slack = say(("unused " if over else "slack ", ink.LABEL), (sign + span(spare), style))
    until = say(("until ", ink.LABEL), (fmt.moment(sight.deadline, sight.now), ink.BRIGHT))
    kept = f"{frame.glyphs.hatch} " if tight else f"{frame.glyphs.hatch} reserve "
    reserve = say((kept, ink.LABEL), (fmt.brief(sight.reserve_s), ink.BRIGHT))
    if width >= 60:
        gap = say(("   ", ink.PLAIN))
        return [spread([*used, *gap, *left], [*until, *gap, *reserve], width), spread(finish, slack, width)]
    return [spread(used, left, width), spread(finish, slack, width), spread(until, reserve, width)]


def _progress(frame: Frame, width: int) -> list[Row]:
    """The step and the epoch, as the last line of a low panel."""
    view = frame.view
    if view.plan is None or not view.plan.planned_steps:
        return []
    left = say(
        ("step ", ink.LABEL),
        (fmt.count(view.progress.step), ink.BRIGHT),
        (f"/{fmt.count(view.plan.planned_steps)}", ink.LABEL),
    )
    right = say(
        ("epoch ", ink.LABEL), (f"{view.progress.epoch:.2f}", ink.BRIGHT), (f"/{view.plan.epochs:g}", ink.LABEL)
    )
    return [spread(left, right, width)]


def burn_down(sight: Outlook, frame: Frame, width: int, height: int) -> list[Row]:
    """Steps left (down) over the window (right): done solid, projected dotted, the reserve hatched."""
    view, glyphs = frame.view, frame.glyphs
    window = sight.window_s or 1.0
    total = max(1, view.plan.planned_steps if view.plan else 1, view.progress.step)
    tall, top = height - 1, f"{axis.step_label(float(total))}"
    gutter = max(len(top), 2)
    plot = width - gutter - 1
    area = Area(left=0.0, right=window, bottom=0.0, top=float(total))
    done, coming = Dots(plot, tall, braille=glyphs.braille), Dots(plot, tall, braille=glyphs.braille)
    path = _path(view.loss, sight.opened, total)
    if path:
        _draw(done, area, [*path, (sight.now - sight.opened, path[-1][1])])
    if path and sight.finish is not None and view.ending is None:
        _draw(coming, area, [(sight.now - sight.opened, path[-1][1]), (sight.finish - sight.opened, 0.0)], dotted=True)
    kept = round(min(1.0, sight.reserve_s / window) * plot) if sight.reserve_s else 0
    marks: dict[tuple[int, int], tuple[str, Style]] = {
        (x, y): (glyphs.hatch, ink.GRID) for x in range(plot - kept, plot) for y in range(tall)
    }
    caption = "steps left "
    marks.update({(plot - kept - len(caption) + index, 0): (letter, ink.FAINT) for index, letter in enumerate(caption)})
    here = area.across(sight.now - sight.opened, plot)
    for y in range(tall):
        if 0 <= here < plot and not done.cells[y][here]:
            marks[here, y] = (glyphs.boundary, ink.FAINT)
    late = ink.BAD if sight.late else ink.WARN if sight.tight else ink.GOOD
    rows = compose([(done, ink.CURVE, glyphs.line), (coming, late, glyphs.dot)], marks, glyphs, plot, tall)
    names = {0: top, tall - 1: "0"}
    framed = [
        [
            *say(
                (names.get(y, "").rjust(gutter), ink.LABEL),
                (glyphs.tick_y if y in names else glyphs.vertical, ink.BORDER),
            ),
            *row,
        ]
        for y, row in enumerate(rows)
    ]
    return [*framed, _hours(area, plot, gutter, frame)]


def _path(series: Series, opened: float, total: int) -> list[tuple[float, float]]:
    return [(bucket.last_wall - opened, float(total - bucket.last)) for bucket in series.buckets]


def _draw(dots: Dots, area: Area, path: list[tuple[float, float]], *, dotted: bool = False) -> None:
    """Join the points of a path with straight lines."""
    for (x0, y0), (x1, y1) in pairwise(path):
        a, b = area.across(x0, dots.width), area.across(x1, dots.width)
        before = area.down(y0, dots.height)
        for x in range(a, b + 1):
            y = area.down(y0 + (y1 - y0) * ((x - a) / (b - a) if b > a else 1.0), dots.height)
            if not dotted:
                dots.column(x, min(y, before), max(y, before))
            elif x % 3 == 0:
                dots.column(x, y, y)
            before = y


def _hours(area: Area, width: int, gutter: int, frame: Frame) -> Row:
    glyphs = frame.glyphs
    line, styles, free = [glyphs.horizontal] * width, [ink.BORDER] * width, 0
    for value in axis.time_ticks(0.0, area.right, max(1, width // 12)):
        text = fmt.brief(value)
        x = area.across(value, width)
        start = min(width - len(text), x if x == 0 else x - len(text) // 2)
        if start < free:
            continue
        for index, character in enumerate(text):
            line[start + index], styles[start + index] = character, ink.LABEL
        free = start + len(text) + 1
    row = [*say((" " * gutter, ink.PLAIN), (glyphs.corner, ink.BORDER)), *say(*zip(line, styles, strict=True))]
    return fit(row, min(cells(row), gutter + 1 + width))
