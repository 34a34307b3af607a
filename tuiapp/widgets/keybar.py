"""The last line: the keys that do something at this moment; those that would not are dimmed."""

from __future__ import annotations

from tuiapp import ink, keys
from tuiapp.frame import Frame
from tuiapp.ink import Row, cells, say
from tuiapp.widgets.panel import Sheet

SHORT = {"checkpoint": "ckpt", "evaluate": "eval", "time axis": "time", "step axis": "step", "unfreeze": "thaw"}
"""Labels for narrow screens."""


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """One row; labels shorten, then the last keys but help go, until it fits."""
    table = [key for key in keys.of_mode(replay=frame.playhead is not None) if key.footer]
    row = _row(table, frame, short=False)
    if cells(row) > width:
        row = _row(table, frame, short=True)
    while cells(row) > width and len(table) > 2:
        table.pop(-2)
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
