"""The first line: which run this is, and how the cockpit stands to it."""

from __future__ import annotations

from rich.style import Style

from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame, Link
from tuiapp.ink import Row, cells, clip, say, spread
from tuiapp.widgets.facts import short_name
from tuiapp.widgets.panel import Sheet

SILENT_S = 20.0
"""An engine tells of its host every other second; one that holds its lock and says nothing for so long is stuck."""


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """One row: name, run, model; at the right what the badge says and the time of day."""
    view = frame.view
    end = badges(frame)
    clock = fmt.time_of_day(frame.now, seconds=width >= 100)
    end = [*end, *say((f" {clock} ", ink.LABEL))]
    name = say((" STINT ", ink.CHIP), (" ", ink.PLAIN))
    room = width - cells(name) - cells(end) - 2
    words: list[tuple[str, Style]] = []
    run = view.identity.run_id
    if run:
        words.append((run, ink.BRIGHT))
    if view.identity.attempt > 1:
        words.append((f"attempt {view.identity.attempt}", ink.WARN))
    if view.model is not None and view.model.base_model:
        words.append((short_name(view.model.base_model), ink.LABEL))
    if view.identity.host:
        words.append((f"on {view.identity.host}", ink.LABEL))
    if view.disabled_sinks:
        words.insert(1, (f"{frame.glyphs.warn} {', '.join(view.disabled_sinks)} off", ink.WARN))
    if view.progress.rejected_steps:
        words.insert(1, (f"{frame.glyphs.warn} {fmt.count(view.progress.rejected_steps)} steps rejected", ink.WARN))
    if len(view.viewers) > 1:
        words.append((f"{len(view.viewers)} viewers", ink.LABEL))
    parts: list[tuple[str, Style]] = []
    for text, style in words:
        glue = f" {frame.glyphs.separator} " if parts else ""
        used = sum(len(part[0]) for part in parts) + len(glue)
        if used + len(text) > room and parts:
            break
        parts += [(glue, ink.FAINT), (clip(text, max(1, room - used), frame.glyphs.ellipsis), style)]
    return Sheet(body=[spread([*name, *say(*parts)], end, width)])


def badges(frame: Frame) -> Row:
    """PAUSED, FROZEN, and the link: words and marks, with colour only to repeat them."""
    glyphs, view = frame.glyphs, frame.view
    row: Row = []
    if view.paused and frame.link is not Link.LOST:
        since = "" if view.paused_since is None else " " + fmt.brief(max(0.0, frame.now - view.paused_since))
        row += say((f" {glyphs.pause} PAUSED{since} ", ink.CHIP_WARN), (" ", ink.PLAIN))
    if frame.frozen:
        row += say((f" {glyphs.pause} VIEW FROZEN +{fmt.short(frame.behind)} ", ink.CHIP_WARN), (" ", ink.PLAIN))
    text, style = _link(frame)
    return [*row, *say((f" {text} ", style))]


def _link(frame: Frame) -> tuple[str, Style]:
    glyphs = frame.glyphs
    spinner = glyphs.spinner[int(frame.now * 4) % len(glyphs.spinner)]
    match frame.link:
        case Link.STARTING:
            return f"{spinner} STARTING", ink.CHIP
        case Link.LOADING:
            return f"{spinner} LOADING", ink.CHIP
        case Link.LIVE if frame.view.seq >= 0 and frame.now - frame.view.wall > SILENT_S and not frame.frozen:
            return f"{glyphs.warn} LIVE silent {fmt.brief(frame.now - frame.view.wall)}", ink.CHIP_WARN
        case Link.LIVE:
            return f"{glyphs.disc} LIVE", ink.CHIP_GOOD
        case Link.LOST:
            return f"{glyphs.cross} LOST {fmt.brief(max(0.0, frame.now - frame.heard))}", ink.CHIP_BAD
        case Link.FAILED:
            return f"{glyphs.cross} NOT STARTED", ink.CHIP_BAD
        case Link.ENDED:
            bad = frame.view.failure is not None
            return f"{glyphs.cross if bad else glyphs.check} ENDED", ink.CHIP_BAD if bad else ink.CHIP_GOOD
        case Link.REPLAY:
            head = frame.playhead
            if head is None:
                return "REPLAY", ink.CHIP
            mark = glyphs.play if head.playing else glyphs.pause
            return f"{mark} REPLAY x{head.speed:g}", ink.CHIP
