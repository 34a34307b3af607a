"""The last line: the keys that do something at this moment; those that would not are dimmed."""

from __future__ import annotations

from tuiapp import ink, keys
from tuiapp.frame import Frame
from tuiapp.ink import Row, cells, say
from tuiapp.widgets.panel import Sheet

SHORT = {"checkpoint": "ckpt", "evaluate": "eval", "time axis": "time", "step axis": "step", "unfreeze": "thaw"}
"""Labels for narrow screens."""

FIRST_TO_GO = (
    "axis",
    "freeze",
    "evaluate",
    "previous_mark",
    "next_mark",
    "checkpoint",
    "slower",
    "faster",
    "pause",
    "help",
)
"""Keys left out of a bar that is too narrow; they work all the same."""


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """One row; labels shorten, then keys go in the order of `FIRST_TO_GO`, until it fits."""
    table = [key for key in keys.of_mode(replay=frame.playhead is not None) if key.footer]
    row = _row(table, frame, short=False)
    if cells(row) > width:
        row = _row(table, frame, short=True)
    for name in FIRST_TO_GO:
        if cells(row) <= width:
            break
        table = [key for key in table if key.id != name]
        row = _row(table, frame, short=True)
    return Sheet(body=[row])


def _row(table: list[keys.Key], frame: Frame, *, short: bool) -> Row:
    row = say((" ", ink.PLAIN))
    for key in table:
        on = key.legal(frame)
        text = keys.label(key, frame)
        text = SHORT.get(text, text) if short else text
        row += say(
            (f" {key.show} ", ink.KEY if on else ink.SHUT),
            (f" {text}{' ' if short else '  '}", ink.PLAIN if on else ink.SHUT),
        )
    return row
