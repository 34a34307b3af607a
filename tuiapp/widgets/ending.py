"""How it ended: the outcome and why, the numbers that count, where the model is, and what to do next."""

from __future__ import annotations

from rich.style import Style

from states.phases import Outcome, Reason
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame, Link
from tuiapp.ink import Row, say, wrap
from tuiapp.widgets.loss import targets
from tuiapp.widgets.panel import Sheet

WHY = {
    Reason.TARGET: "the planned steps are done",
    Reason.DEADLINE: "the window ran short; the horizon was completed in time",
    Reason.EARLY_STOP: "the validation loss stopped improving",
    Reason.OPERATOR: "somebody asked for it",
    Reason.SIGNAL: "a signal asked for it",
    Reason.ERROR: "an error",
}

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
    body.append([])
    body += _numbers(frame, width)
    tail = wrap(NEXT[ending.outcome], width, ink.LABEL, most=3)
    room = height - len(tail)
    return Sheet(
        title=say(("ended", ink.TITLE)),
        caption=say((f"exit {ending.exit_code}", ink.LABEL)),
        body=[*body[:room], *tail][:height],
    )


def _numbers(frame: Frame, width: int) -> list[Row]:
    view, ending, glyphs = frame.view, frame.view.ending, frame.glyphs
    if ending is None:
        return []
    rows: list[Row] = []
    if ending.best_loss is not None:
        met = targets(view)
        rows.append(
            _line(
                "best loss",
                [
                    (fmt.loss(ending.best_loss), ink.VALIDATION),
                    (f" ppl {fmt.perplexity(ending.best_loss)}", ink.PLAIN),
                    (f" {glyphs.check} < 1.5" if met and met[0] else "", ink.GOOD),
                ],
            )
        )
        rows.append(_line("at step", [(fmt.count(ending.best_step), ink.BRIGHT)]))
    rows.append(
        _line("steps", [(fmt.count(ending.step), ink.BRIGHT), (f"  {fmt.short(ending.tokens)} tokens", ink.PLAIN)])
    )
    spent = [(fmt.duration(ending.trained_s), ink.BRIGHT), (f" of {fmt.duration(ending.wall_s)}", ink.PLAIN)]
    rows.append(_line("training", spent))
    if ending.paused_s >= 1:
        rows.append(_line("paused", [(fmt.duration(ending.paused_s), ink.BRIGHT)]))
    where = view.config.get("training", {}).get("output_dir") if isinstance(view.config.get("training"), dict) else None
    if ending.outcome is Outcome.FINISHED and isinstance(where, str):
        rows.append(_line("model", [(where, ink.BRIGHT)]))
    elif ending.checkpoint:
        rows.append(_line("resume at", [(ending.checkpoint, ink.BRIGHT)]))
    return rows


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
        return Sheet(title=say((f"{glyphs.cross} not started", ink.BAD)), body=[*body[: height - 1], *tail])
    saved = view.checkpoints[-1] if view.checkpoints else None
    body = [say((f"{glyphs.cross} the engine is gone", ink.BAD))]
    body += wrap("It left no last record: it was killed, or its machine was.", width, ink.PLAIN, most=3)
    body.append([])
    body.append(_line("last heard", [(fmt.time_of_day(frame.heard or view.wall, seconds=True), ink.BRIGHT)]))
    body.append(_line("at step", [(fmt.count(view.progress.step), ink.BRIGHT)]))
    if saved is not None:
        gone = view.progress.step - saved.step
        body.append(_line("on disk", [(saved.path, ink.BRIGHT), (f"  {fmt.count(gone)} steps lost", ink.WARN)]))
    if frame.trouble:
        body += [[], *wrap(frame.trouble, width, ink.PLAIN, most=4)]
    tail = wrap("Start again with the same command to resume. q leaves with exit code 1.", width, ink.LABEL, most=3)
    return Sheet(title=say(("lost", ink.TITLE)), body=[*body[: height - len(tail)], *tail])


def _line(name: str, parts: list[tuple[str, Style]]) -> Row:
    return say((f"{name:<10} ", ink.LABEL), *parts)
