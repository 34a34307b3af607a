"""The paid window as absolute instants: `--hours`, `--deadline`, and what a resume inherits."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from configs.errors import UsageError

MAX_HOURS = 24 * 365
"""A year: anything longer is a typing error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Unix seconds. `deadline_wall` is None where time constraints are switched off."""

    opened_wall: float
    deadline_wall: float | None

    @property
    def length_s(self) -> float | None:
        """Length of the whole window in seconds."""
        return None if self.deadline_wall is None else self.deadline_wall - self.opened_wall


def parse_deadline(text: str, now: dt.datetime) -> float:
    """Unix seconds of `2026-11-23T07:30`, `2026-11-23 07:30+01:00`, or `07:30` (the next one in local time)."""
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
            hour, minute, second = (int(part) for part in [*text.split(":"), "0"][:3])
            moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
            moment = moment if moment > now else moment + dt.timedelta(days=1)
        else:
            moment = dt.datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.astimezone()
    except ValueError as error:
        raise UsageError(
            f"--deadline {text!r} is not a time: write an ISO date and time such as 2026-11-23T07:30 (local time "
            "unless it has an offset), or HH:MM for the next time the clock shows it."
        ) from error
    if moment <= now:
        raise UsageError(f"--deadline {text} has passed: it is {now:%Y-%m-%d %H:%M:%S}. Give a later time, or --hours.")
    return moment.timestamp()


def opening(*, hours: float | None, deadline: str | None, configured_hours: float | None, now: float) -> Window:
    """The window of a run that starts at `now`; `configured_hours` None means time constraints are off."""
    if hours is not None and deadline is not None:
        raise UsageError("--hours and --deadline both set the window: give one of them.")
    if hours is not None and not 0 < hours <= MAX_HOURS:
        raise UsageError(f"--hours {hours:g} is not a window: give a number of hours above 0 and up to {MAX_HOURS}.")
    if deadline is not None:
        local = dt.datetime.fromtimestamp(now).astimezone()
        return Window(opened_wall=now, deadline_wall=parse_deadline(deadline, local))
    length = hours if hours is not None else configured_hours
    return Window(opened_wall=now, deadline_wall=None if length is None else now + length * 3600)


def continuing(before: Window, *, hours: float | None, deadline: str | None, now: float) -> Window:
    """The window of a resume: the old one while it lasts, a new one where the person gives it."""
    if hours is not None or deadline is not None:
        return opening(hours=hours, deadline=deadline, configured_hours=None, now=now)
    if before.deadline_wall is not None and before.deadline_wall <= now:
        ended = dt.datetime.fromtimestamp(before.deadline_wall).astimezone()
        raise UsageError(
            f"The window of this run ended at {ended:%Y-%m-%d %H:%M:%S}: a resume after it needs a new one. "
            "Give --hours H or --deadline T."
        )
    return before
