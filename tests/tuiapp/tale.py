"""A teller of records on a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from states import events as e
from states.phases import Phase, Reason, Trigger

START = 1_763_800_000.0
"""2025-11-22 08:26:40 UTC."""

DOMAINS = {"anxiety": 61, "grief": 38, "relationships": 72, "sleep": 29}


@dataclass
class Tale:
    """Collects records on a clock of its own."""

    wall: float = START
    records: list[e.Record] = field(default_factory=list)

    def say(self, event: e.Event, after: float = 0.0) -> None:
        self.wall += after
        self.records.append(e.Record(seq=len(self.records), wall=self.wall, mono=self.wall - START, event=event))

    def task(self, name: str, seconds: float, detail: str = "", total: int | None = None) -> None:
        self.say(e.TaskStarted(task=name, detail=detail, total=total), 0.1)
        for index in range(1, 4 if total else 1):
            self.say(e.TaskProgressed(task=name, done=(total or 0) * index // 4), seconds / 4)
        self.say(e.TaskCompleted(task=name, task_s=seconds, detail=detail), seconds / 4)

    def phase(self, old: Phase, new: Phase, step: int, reason: Reason | None = None) -> None:
        trigger = (
            Trigger.FINISH if new is Phase.FINALIZE else Trigger.CLOSE if new is Phase.STOPPED else Trigger.ADVANCE
        )
        self.say(e.PhaseChanged(old=old, new=new, trigger=trigger, step=step, reason=reason), 0.05)
