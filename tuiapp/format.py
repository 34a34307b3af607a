"""Numbers as people read them: durations, clocks, bytes, counts, losses. An unknown number is a dash, never a zero."""

from __future__ import annotations

import math
import time

UNKNOWN = "-"


def duration(seconds: float | None) -> str:
    """`45s`, `4m 05s`, `1h 05m`, `2d 03h`: two units, which is what a decision needs."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    sign = "-" if seconds <= -0.5 else ""
    whole = round(abs(seconds))
    if whole < 60:
        return f"{sign}{whole}s"
    if whole < 3600:
        return f"{sign}{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{sign}{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{sign}{whole // 86400}d {whole % 86400 // 3600:02d}h"


def brief(seconds: float | None) -> str:
    """`45s`, `4m`, `1h05`, `2d`: for the tight places and axis labels."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    sign = "-" if seconds <= -0.5 else ""
    whole = round(abs(seconds))
    if whole < 60:
        return f"{sign}{whole}s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{sign}{minutes}m"
    if minutes < 1440:
        return f"{sign}{minutes // 60}h{minutes % 60:02d}" if minutes % 60 else f"{sign}{minutes // 60}h"
    return f"{sign}{round(minutes / 1440)}d"


def lasting(seconds: float) -> str:
    """How long one piece of work took: `0.31s`, `4.2s`, then as `duration`."""
    if seconds < 1:
        return f"{seconds:.2f}s"
    return f"{seconds:.1f}s" if seconds < 10 else duration(seconds)


def timer(seconds: float | None) -> str:
    """`06:12:50`: a running clock."""
    if seconds is None or not math.isfinite(seconds):
        return "--:--:--"
    sign = "-" if seconds <= -1 else ""
    whole = int(abs(seconds))
    return f"{sign}{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def time_of_day(wall: float | None, *, seconds: bool = False) -> str:
    """`18:11` in the viewer's own time zone."""
    if wall is None or not 0 <= wall < 1e11:
        return UNKNOWN
    return time.strftime("%H:%M:%S" if seconds else "%H:%M", time.localtime(wall))


def moment(wall: float | None, now: float) -> str:
    """`18:11`, or `Tue 18:11` when that is not today."""
    if wall is None or not 0 <= wall < 1e11:
        return UNKNOWN
    then, today = time.localtime(wall), time.localtime(max(0.0, now))
    same_day = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M" if same_day else "%a %H:%M", then)


def bytes_(count: float | None) -> str:
    """`61.2 GiB`, `812 MiB`."""
    if count is None:
        return UNKNOWN
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024 or (unit == "GiB" and abs(value) < 10240):
            return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def gib(count: float | None) -> str:
    """`61.2`: gibibytes without the unit, for pairs such as `61.2/79.6 GiB`."""
    return UNKNOWN if count is None else f"{count / 2**30:.1f}"


def count(number: int | None) -> str:
    """`18,240`."""
    return UNKNOWN if number is None else f"{number:,}"


def short(number: float | None) -> str:
    """`940`, `21.1k`, `4.20M`, `12.2B`: three figures."""
    if number is None or not math.isfinite(number):
        return UNKNOWN
    value = float(number)
    for unit in ("", "k", "M", "B"):
        if abs(value) < 999.5 or unit == "B":
            if not unit:
                return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.1f}"
            digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
            return f"{value:.{digits}f}{unit}"
        value /= 1000
    return UNKNOWN


def loss(value: float | None) -> str:
    """`1.730`; very small losses keep their figures."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def perplexity(value: float | None) -> str:
    """exp(loss), `4.48`."""
    if value is None or not math.isfinite(value) or value > 20:
        return UNKNOWN
    number = math.exp(value)
    return f"{number:.2f}" if number < 100 else short(number)


def rate(value: float | None) -> str:
    """A learning rate: `1.61e-4`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def figure(value: float | None) -> str:
    """Any other number in three figures: `0.58`, `12.4`, `1.2e+04`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.2f}" if 0.01 <= abs(value) < 100 or value == 0 else f"{value:.3g}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share in 0..1 as `53%`."""
    return UNKNOWN if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f}%"


def signed(seconds: float | None) -> str:
    """Slack: `+17m 03s` or `-4m 10s`."""
    text = duration(seconds)
    return text if text.startswith("-") else f"+{text}"
