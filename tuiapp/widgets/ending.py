"""How it ended: the outcome and why, the numbers that count, where the model is, and what to do next."""

from __future__ import annotations

from rich.cells import cell_len
from rich.style import Style

from states.feed import WHY
from states.phases import Outcome
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame, Link
from tuiapp.ink import Row, cells, clip, fit, pad, say, wrap
from tuiapp.widgets.loss import targets
from tuiapp.widgets.panel import Sheet

ROOMY = 16
"""Rows from which parts stand apart."""
NAME = 10
"""Cells of a line's name."""
NEXT = {
    Outcome.FINISHED: "q leaves. The best model is in the run directory.",
    Outcome.INTERRUPTED: "q leaves. Start again with the same command to go on from the last checkpoint.",
    Outcome.CANCELLED: "q leaves. Checkpoints written before are still there.",
    Outcome.FAILED: "q leaves. Checkpoints written before are still there.",
}


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """The ending of a stopped run, of one that was lost, or of one that never began."""
    if frame.view.ending is None:
        return _gone(frame, width, height)
    ending, view, glyphs = frame.view.ending, frame.view, frame.glyphs
    good = ending.outcome is Outcome.FINISHED
    style = ink.GOOD if good else ink.BAD if ending.outcome is Outcome.FAILED else ink.WARN
    mark = glyphs.check if good else glyphs.cross if ending.outcome is Outcome.FAILED else glyphs.warn
    body: list[Row] = [say((f"{mark} ", style), (ending.outcome.value, style))]
    body += wrap(WHY[ending.reason], width, ink.PLAIN, most=2)
    if view.failure is not None:
        body += _failure(frame, width)
    roomy = height >= ROOMY
    body += [*([[]] if roomy else []), *_numbers(frame, width, height)]
    places = _places(frame, width)
    tail = [*places, *([[]] if roomy and places else [])]
    # Where the model is named, it need not be said again.
    tail += wrap("q leaves." if good and places and not roomy else NEXT[ending.outcome], width, ink.LABEL, most=3)
    return Sheet(
        title=say(("ended", ink.TITLE)),
        caption=say((f"exit {ending.exit_code}", ink.LABEL)),
        body=_above(body, tail, height),
    )


def _validation(frame: Frame, width: int) -> list[Row]:
    """Where validation began and where it ended, in all and by domain, from evaluations of the whole set."""
    whole = [item for item in frame.view.evaluations if item.scope == "full" and item.loss is not None]
    if len(whole) < 2:
        return []
    first, last = whole[0], whole[-1]
    rows: list[Row] = [[], say((f"{'validation':<18}", ink.LABEL), (f"{'before':>8}{'after':>8}", ink.FAINT))]
    rows[-1] += say((f"{'change':>9}", ink.FAINT))
    pairs = {"all": (first.loss, last.loss)}
    pairs |= {name: (first.domains.get(name), loss) for name, loss in last.domains.items()}
    for name, (before, after) in pairs.items():
        change = None if not before or after is None else after / before - 1
        style = ink.FAINT if change is None else ink.GOOD if change < 0 else ink.WARN
        rows.append(
            say(
                (f"  {pad(name, 16)}", ink.PLAIN if name == "all" else ink.LABEL),
                (f"{fmt.loss(before):>8}", ink.PLAIN),
                (f"{fmt.loss(after):>8}", ink.BRIGHT),
                (f"{fmt.UNKNOWN if change is None else f'{100 * change:+.0f}%':>9}", style),
            )
        )
    return [fit(row, width) for row in rows]


def _numbers(frame: Frame, width: int, height: int) -> list[Row]:
    view, ending, glyphs = frame.view, frame.view.ending, frame.glyphs
    if ending is None:
        return []
    rows: list[Row] = []
    if ending.best_loss is not None:
        met = targets(view)
        step = f"  @{fmt.count(ending.best_step)}"
        rows.append(
            _line(
                "best loss",
                [
                    (fmt.loss(ending.best_loss), ink.VALIDATION),
                    *([] if height >= ROOMY else [(step, ink.PLAIN)]),
                    (f" ppl {fmt.perplexity(ending.best_loss)}", ink.PLAIN),
                    (f" {glyphs.check} < 1.5" if met and met[0] else "", ink.GOOD),
                ],
                width,
            )
        )
        if height >= ROOMY:
            rows.append(_line("at step", [(fmt.count(ending.best_step), ink.BRIGHT)], width))
    tokens = f"  {fmt.short(ending.tokens)} tokens"
    rows.append(_line("steps", [(fmt.count(ending.step), ink.BRIGHT), (tokens, ink.PLAIN)], width))
    span = fmt.brief if width < 34 else fmt.duration
    spent = [(span(ending.trained_s), ink.BRIGHT), (f" of {span(ending.wall_s)}", ink.PLAIN)]
    rows.append(_line("training", spent, width))
    if ending.paused_s >= 1:
        rows.append(_line("paused", [(fmt.duration(ending.paused_s), ink.BRIGHT)], width))
    if height >= 18:
        rows += _validation(frame, width)
    return rows


def _places(frame: Frame, width: int) -> list[Row]:
    """Where the model is, or what a resume begins from; below it what else lies in the run directory."""
    ending, left, glyphs = frame.view.ending, frame.remains, frame.glyphs
    if ending is None:
        return []
    rows: list[Row] = []
    if ending.outcome is Outcome.FINISHED and frame.home:
        rows.append(_line("model", [(_shortened(frame.home, width - NAME - 1, glyphs.ellipsis), ink.BRIGHT)], width))
    elif ending.checkpoint:
        rows.append(_line("resume at", [(ending.checkpoint, ink.BRIGHT)], width))
    for name, path in (("report", left.report), ("evaluation", left.evaluation)):
        if path and NAME + 1 + cell_len(path) <= width:
            rows.append(_line(name, [(path, ink.BRIGHT)], width))
        elif path:
            # The name of the file says what it is.
            rows.append(say((_shortened(path, width, glyphs.ellipsis), ink.BRIGHT)))
    if left.model and not left.evaluation and ending.outcome is Outcome.FINISHED:
        rows.append(_line("evaluation", [("none yet", ink.LABEL), (": run.py evaluate", ink.LABEL)], width))
    return rows


def _shortened(path: str, room: int, ellipsis: str) -> str:
    """A path in at most `room` cells: whole, or its end, in whole names where they fit."""
    if cell_len(path) <= room:
        return path
    parts = path.split("/")
    ends = ("/".join([ellipsis, *parts[index:]]) for index in range(1, len(parts)))
    whole = next((each for each in ends if cell_len(each) <= room), None)
    return whole or clip(parts[-1], room, ellipsis)


def _failure(frame: Frame, width: int) -> list[Row]:
    failure = frame.view.failure
    if failure is None:
        return []
    rows = [say((failure.error_type, ink.BAD))]
    rows += wrap(failure.message, width, ink.PLAIN, most=6)
    if failure.remedy:
        rows += [[], *wrap(failure.remedy, width, ink.NOTE, most=4)]
    return rows


def _gone(frame: Frame, width: int, height: int) -> Sheet:
    """Lost or never started: what is known, and the way back."""
    glyphs, view = frame.glyphs, frame.view
    if frame.link is Link.FAILED:
        body = wrap("The engine ended before it could record anything.", width, ink.PLAIN, most=2)
        body.append([])
        lines = [line for line in frame.trouble.splitlines() if line.strip()]
        for line in lines[-max(1, height - 6) :]:
            body += wrap(line, width, ink.BRIGHT, most=3)
        tail = wrap("q leaves with exit code 1.", width, ink.LABEL, most=1)
        return Sheet(title=say((f"{glyphs.cross} not started", ink.BAD)), body=_above(body, tail, height))
    saved = view.checkpoints[-1] if view.checkpoints else None
    body = [say((f"{glyphs.cross} the engine is gone", ink.BAD))]
    body += wrap("It left no last record: it was killed, or its machine was.", width, ink.PLAIN, most=3)
    body.append([])
    body.append(_line("last heard", [(fmt.time_of_day(frame.heard or view.wall, seconds=True), ink.BRIGHT)], width))
    body.append(_line("at step", [(fmt.count(view.progress.step), ink.BRIGHT)], width))
    if saved is not None:
        gone = view.progress.step - saved.step
        body.append(_line("on disk", [(saved.path, ink.BRIGHT), (f"  {fmt.count(gone)} steps lost", ink.WARN)], width))
    if frame.trouble:
        body += [[], *wrap(frame.trouble, width, ink.PLAIN, most=4)]
    tail = wrap("Start again with the same command to resume. q leaves with exit code 1.", width, ink.LABEL, most=3)
    return Sheet(title=say(("lost", ink.TITLE)), body=_above(body, tail, height))


def _above(body: list[Row], tail: list[Row], height: int) -> list[Row]:
    """The body as far as it fits above its last lines; the body first where not even those fit."""
    room = height - len(tail)
    gap: list[Row] = [[]] if room > len(body) else []
    return [*body[:room], *gap, *tail] if room > 0 else body[: max(0, height)]


def _line(name: str, parts: list[tuple[str, Style]], width: int) -> Row:
    """The name and as many parts as fit, at least one."""
    row = say((f"{name:<{NAME}} ", ink.LABEL), *parts[:1])
    for part in parts[1:]:
        if cells(row) + len(part[0]) > width:
            break
        row += say(part)
    return row
