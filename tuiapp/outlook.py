"""The window as the cockpit speaks of it: used, left, projected finish, slack."""

from __future__ import annotations

from dataclasses import dataclass

from states.budget import Ledger
from tuiapp.frame import Frame

TIGHT_S = 300.0
"""Slack below this, or below a hundredth of the window, is no slack: one slow stretch eats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Seconds and Unix seconds; None where there is no deadline or no measurement yet."""

    opened: float
    now: float
    deadline: float | None
    reserve_s: float
    finish: float | None
    """When the run should be over, its Finalize included."""
    slack_s: float | None

    @property
    def used_s(self) -> float:
        """Seconds of the window that are gone."""
        return max(0.0, self.now - self.opened)

    @property
    def window_s(self) -> float | None:
        """Length of the window."""
        return None if self.deadline is None else self.deadline - self.opened

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.deadline is None else self.deadline - self.now

    @property
    def late(self) -> bool:
        """The run would not be over in time."""
        return self.slack_s is not None and self.slack_s < 0

    @property
    def tight(self) -> bool:
        """It would be, by a hair."""
        threshold = min(TIGHT_S, (self.window_s or 0.0) / 100)
        return self.slack_s is not None and 0 <= self.slack_s < threshold


def outlook(frame: Frame) -> Outlook:
    """The frame's window at the frame's moment; a stopped run's clock stands still."""
    view = frame.view
    now = view.wall if view.ending is not None else frame.now
    ledger = Ledger.of(view.window)
    opened = view.window.opened_wall
    return Outlook(
        opened=opened if opened is not None else (frame.started or now),
        now=now,
        deadline=ledger.deadline_wall,
        reserve_s=ledger.reserve_s,
        finish=ledger.projected_finish(view, now),
        slack_s=ledger.slack_s(view, now),
    )
