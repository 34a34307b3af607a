"""Numbers in the words of a person: durations, sizes, losses. Total: any number gives some text."""

from __future__ import annotations

import math
from typing import Protocol

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def duration(seconds: float | None) -> str:
    """`0.4 s`, `42 s`, `3m 20s`, `1h 05m`, `2d 03h`; unknown is `?`."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes == 0:
        return f"{whole} s"
    if hours == 0:
        return f"{minutes}m {whole % 60:02d}s"
    if days == 0:
        return f"{hours}h {minutes % 60:02d}m"
    return f"{days}d {hours % 24:02d}h"


def size(num_bytes: float) -> str:
    """Decimal units with three digits at most, as disks are sold: `123 MB`, `4.7 GB`."""
    value, unit = float(num_bytes), _UNITS[0]
    for unit in _UNITS:  # noqa: B007  (the unit is used after the loop)
        if abs(value) < 999.5:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 99.5 else f"{value:.1f} {unit}"


def number(value: float | None, form: str = ".4f") -> str:
    """A number in the given format; an unknown or infinite one is `-`."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def perplexity(loss: float | None) -> float | None:
    """exp(loss), where that is a number worth showing (Jelinek et al. 1977: perplexity of mean nats per token)."""
    return math.exp(loss) if loss is not None and loss < 50 else None


def loss_words(loss: float | None) -> str:
    """`loss 1.2345, perplexity 3.44`."""
    return f"loss {number(loss)}, perplexity {number(perplexity(loss), '.2f')}"


class AlarmFacts(Protocol):
    """What words need of an alarm; both the event and what a view keeps of it have it."""

    @property
    def source(self) -> str:
        """`train` or `eval`."""

    @property
    def rule(self) -> str:
        """Its name."""

    @property
    def level(self) -> str:
        """`warn`, `bad`, or `good` where it holds again."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers that break it."""

    @property
    def layer(self) -> int | None:
        """The worst of them."""

    @property
    def expert(self) -> int | None:
        """Whom it is about."""

    @property
    def value(self) -> float:
        """What was measured."""

    @property
    def limit(self) -> float:
        """What it is measured against."""


_MEASURED = {"dominant": "largest share", "starved": "smallest share"} | dict.fromkeys(
    ("collapse", "uneven"), "usage entropy"
)
"""What a rule looks at."""


def alarm_words(alarm: AlarmFacts) -> str:
    """`expert 2 takes 4.1% of layer 3 (limit 5%)`; names the worst layer and how many there are."""
    seen = " in validation" if alarm.source == "eval" else ""
    if alarm.level == "good":
        where = "over all layers" if alarm.layer is None else "in every layer"
        value = number(alarm.value, ".2f") if alarm.expert is None else f"{number(100 * alarm.value, '.1f')}%"
        return f"{_MEASURED.get(alarm.rule, alarm.rule)} {where}{seen} again within its limit: {value}"
    where = " over all layers" if alarm.layer is None else f" of layer {alarm.layer}"
    others = len(alarm.layers) - 1
    more = f" and {others} other layer{'s' if others > 1 else ''}" if others > 0 else ""
    if alarm.expert is None:
        what = f"usage entropy{where} {number(alarm.value, '.2f')} (limit {number(alarm.limit, '.2f')})"
    else:
        limit = number(100 * alarm.limit, ".0f")
        what = f"expert {alarm.expert} takes {number(100 * alarm.value, '.1f')}%{where} (limit {limit}%)"
    return f"{what}{more}{seen}"
