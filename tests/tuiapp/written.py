"""What a panel wrote, as text, and an alarm for it to tell."""

from __future__ import annotations

from states.mixture import Alarm
from tuiapp.ink import Row


def read(rows: list[Row]) -> str:
    return "\n".join("".join(segment.text for segment in row) for row in rows)


ALARM = Alarm(
    step=9,
    wall=1.0,
    source="train",
    rule="starved",
    level="bad",
    layers=(3, 7),
    layer=3,
    expert=2,
    value=0.041,
    limit=0.05,
    remedy="start again with fewer experts",
)
