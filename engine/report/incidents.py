"""Which records are worth a line in a report's timeline: what a person did, what went wrong, what was decided."""

from __future__ import annotations

from engine.report.facts import Moment
from states import events as e
from states.feed import line
from states.view import RunView

_KINDS: dict[type[object], str] = {
    e.RunRestored: "resumed",
    e.RunPaused: "paused",
    e.RunUnpaused: "going on",
    e.StepRejected: "rejected step",
    e.CheckpointFailed: "failed checkpoint",
    e.CheckpointSkipped: "damaged checkpoint",
    e.ExpertsAlarmed: "routing alarm",
    e.DeadlineReplanned: "replanned",
    e.DeadlineApproached: "deadline near",
    e.DeadlineReached: "deadline",
    e.EarlyStopTriggered: "early stop",
    e.MemoryReduced: "out of memory",
    e.CommandReceived: "command",
    e.CommandRejected: "refused command",
    e.SinkDisabled: "failed sink",
    e.RunFailed: "failure",
    e.RunStopped: "stopped",
}
_LEVELS = {"warning", "error", "critical"}


def moment(before: RunView, record: e.Record) -> Moment | None:
    """The line for one record, None for those that curves show or that went as they should."""
    event = record.event
    kind = _KINDS.get(type(event))
    if isinstance(event, e.MessageLogged) and event.level.lower() in _LEVELS:
        kind = "message"
    said = line(before, event) if kind else None
    if kind is None or said is None:
        return None
    step = getattr(event, "step", before.progress.step)
    return Moment(wall=record.wall, step=step, kind=kind, text=said.text, tone=said.tone)
