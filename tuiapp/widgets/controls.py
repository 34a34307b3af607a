"""The line above the keys: what became of the last command, or what is worth knowing now."""

from __future__ import annotations

from rich.style import Style

from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame, Link, Request
from tuiapp.ink import Row, clip, inert, say
from tuiapp.widgets.panel import Sheet

LINGER_S = 20.0
"""Seconds a settled command stays on the line."""
WORDS = {"applied": "done", "failed": "not sent"}
"""States in the words of the line; the others are said as they are."""
ORDER = ("requested", "accepted", "applied")


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """One row: a hint, else the newest command of this cockpit or of anyone, else a word on the link."""
    return Sheet(body=[_row(frame, width)])


def _row(frame: Frame, width: int) -> Row:
    lead = (" ", ink.PLAIN)
    ellipsis = frame.glyphs.ellipsis
    if frame.hint:
        return say(lead, (clip(inert(frame.hint), width - 2, ellipsis), ink.WARN))
    mine = frame.requests[-1] if frame.requests else None
    if mine is not None and (mine.state in {"requested", "accepted"} or frame.now - mine.wall < LINGER_S):
        return _life(mine, frame, width)
    control = frame.view.controls[-1] if frame.view.controls else None
    if control is not None and frame.now - control.wall < LINGER_S:
        request = Request(
            number=0,
            command=control.command,
            label=f"{control.command} (by {control.via})",
            state=control.state,
            wall=control.wall,
            detail=control.detail,
        )
        return _life(request, frame, width)
    return say(lead, (clip(_standing(frame), width - 2, ellipsis), ink.FAINT))


def _life(request: Request, frame: Frame, width: int) -> Row:
    """`checkpoint  requested > accepted > done step 1,240`."""
    glyphs = frame.glyphs
    row = say((" ", ink.PLAIN), (inert(request.label), ink.BRIGHT), ("  ", ink.PLAIN))
    arrow = (f" {glyphs.right} ", ink.FAINT)
    reached = ORDER.index(request.state) if request.state in ORDER else int(request.accepted)
    for index, state in enumerate(ORDER[: reached + 1]):
        here = state == request.state
        mark = f"{glyphs.check} " if here and state == "applied" else ""
        style: Style = (ink.GOOD if state == "applied" else ink.NOTE) if here else ink.LABEL
        row += say(*([arrow] if index else []), (mark + WORDS.get(state, state), style))
    if request.state not in ORDER:
        row += say(arrow, (f"{glyphs.cross} {WORDS.get(request.state, request.state)}", ink.BAD))
    elif request.state != "applied":
        spinner = glyphs.spinner[int(frame.now * 4) % len(glyphs.spinner)]
        row += say((f" {spinner}", ink.NOTE), (f" {fmt.brief(max(0.0, frame.now - request.wall))}", ink.LABEL))
    used = sum(len(segment.text) for segment in row)
    return [
        *row,
        *say(
            (
                f"  {clip(inert(request.detail), max(0, width - used - 3), glyphs.ellipsis)}" if request.detail else "",
                ink.PLAIN,
            )
        ),
    ]


def _standing(frame: Frame) -> str:
    match frame.link:
        case Link.STARTING:
            return "The engine is starting in a process of its own."
        case Link.LOADING:
            return f"Reading the journal: {fmt.count(frame.view.seq + 1)} records so far."
        case Link.LOST:
            return "The engine is gone. Start again with the same command to resume from the last checkpoint."
        case Link.FAILED:
            return "The engine never came up."
        case Link.ENDED:
            code = frame.view.ending.exit_code if frame.view.ending is not None else 0
            return f"The run has ended; q leaves with its exit code, {code}."
        case Link.LIVE if frame.view.paused:
            return "Training is paused; the window goes on. P resumes."
        case _:
            return ""
