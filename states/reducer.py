"""The one pure function from a journal to what may be shown: live view, replay, report and status all fold with it.

It reads no clock, keeps everything bounded, and never raises on a record, whatever the order they come in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, Final, assert_never

from states import events as e
from states import training
from states.feed import line
from states.phases import TRAINING, Phase
from states.series import append
from states.view import (
    FEED_LENGTH,
    Control,
    Dataset,
    Ending,
    Failure,
    FeedLine,
    Host,
    Identity,
    Model,
    Plan,
    RunView,
    Saved,
    Task,
    Window,
    revised,
)

EMPTY: Final = RunView()
"""The view of a journal without records."""
CONTROLS: Final = 20
"""Commands whose fate is remembered."""
VIEWERS: Final = 100
_NAMES: Final = {kind: tuple(field.name for field in fields(cls)) for kind, cls in e.KINDS.items()}


def reduce(view: RunView, record: e.Record) -> RunView:
    """The view after one more record."""
    return revised(_step(view, record), seq=record.seq, wall=record.wall)


def fold(records: Iterable[e.Record], view: RunView = EMPTY) -> RunView:
    """The view after all these records; folding the rest onto a prefix is folding the whole."""
    record = None
    for record in records:
        view = _step(view, record)
    return view if record is None else revised(view, seq=record.seq, wall=record.wall)


def _step(view: RunView, record: e.Record) -> RunView:
    """Everything but the stamp of `seq` and `wall`, which only the last record of a batch needs to leave."""
    new = _changed(view, record.event, record.wall)
    if said := line(view, record.event):
        fed = FeedLine(
            seq=record.seq, wall=record.wall, step=new.progress.step, topic=said.topic, text=said.text, tone=said.tone
        )
        new = revised(new, feed=(*new.feed, fed)[-FEED_LENGTH:])
    return new


def _changed(view: RunView, event: e.Event | e.Unknown, wall: float) -> RunView:
    match event:
        case e.StepCompleted():
            return training.step_completed(view, event, wall)
        case e.GpuSampled():
            return _gpus(view, event, wall)
        case e.HostSampled():
            cpu = append(view.host_cpu, view.progress.step, wall, event.cpu_percent)
            return revised(view, host=Host(**_fields(event)), host_cpu=cpu)
        case e.TaskProgressed():
            return _progressed(view, event)
        case e.ExpertsSampled():
            return training.routed(view, event, wall)
        case e.ExpertsAlarmed():
            return training.alarmed(view, event, wall)
        case e.ExpertsExamined():
            return training.examined(view, event)
        case e.LogOpened():
            return _attempt(view, event, wall)
        case e.RunConfigured():
            window = Window(opened_wall=event.opened_wall, deadline_wall=event.deadline_wall, reserve_s=event.reserve_s)
            return replace(view, config=event.config, config_hash=event.config_hash, window=window)
        case e.TaskStarted():
            done = None if event.total is None else 0
            task = Task(name=event.task, detail=event.detail, done=done, total=event.total, started_wall=wall)
            return revised(view, task=task)
        case e.TaskCompleted():
            return revised(view, task=None) if view.task and view.task.name == event.task else view
        case e.DataPrepared():
            return replace(view, dataset=Dataset(**_fields(event)))
        case e.ModelLoaded():
            return replace(view, model=Model(**_fields(event)))
        case e.RunPlanned():
            original = view.plan.original_steps if view.plan else event.planned_steps
            return replace(view, plan=Plan(original_steps=original, **_fields(event)))
        case e.RunRestored():
            return training.restored(view, event)
        case e.PhaseChanged():
            return _phase(view, event, wall)
        case e.RunPaused():
            since = view.paused_since if view.paused else wall
            return replace(view, paused=True, paused_since=since)
        case e.RunUnpaused():
            return _unpaused(view, event.paused_s)
        case e.StepRejected():
            progress = replace(view.progress, rejected_steps=view.progress.rejected_steps + 1)
            return replace(view, progress=progress)
        case e.EvalStarted():
            task = Task(name="evaluate", detail=event.scope, done=0, total=event.conversations, started_wall=wall)
            return revised(view, task=task)
        case e.EvalCompleted():
            return training.evaluated(view, event, wall)
        case e.CheckpointStarted():
            return revised(view, saving=True)
        case e.CheckpointCompleted():
            return _saved(view, event, wall)
        case e.CheckpointFailed():
            return revised(view, saving=False)
        case e.CheckpointPruned() | e.CheckpointSkipped():
            return revised(view, checkpoints=tuple(item for item in view.checkpoints if item.path != event.path))
        case e.DeadlineReplanned():
            return replace(view, plan=replace(view.plan, planned_steps=event.planned_steps)) if view.plan else view
        case e.CommandReceived():
            control = Control(id=event.id, command=event.command, via=event.via, state="accepted", wall=wall)
            others = tuple(item for item in view.controls if item.id != event.id)
            return replace(view, controls=(*others, control)[-CONTROLS:])
        case e.CommandApplied():
            return _answered(view, event.id, "applied", event.detail)
        case e.CommandRejected():
            return _rejected(view, event)
        case e.ClientAttached():
            return replace(view, viewers=(*(pid for pid in view.viewers if pid != event.pid), event.pid)[-VIEWERS:])
        case e.ClientDetached():
            return replace(view, viewers=tuple(pid for pid in view.viewers if pid != event.pid))
        case e.SinkDisabled():
            known = event.sink in view.disabled_sinks
            return view if known else replace(view, disabled_sinks=(*view.disabled_sinks, event.sink)[-VIEWERS:])
        case e.RunFailed():
            return replace(view, failure=Failure(**_fields(event)))
        case e.RunStopped():
            return replace(view, ending=Ending(**_fields(event)), reason=event.reason, task=None, saving=False)
        case e.DeadlineApproached() | e.DeadlineReached() | e.EarlyStopTriggered():
            return view
        case e.MemoryReduced() | e.MessageLogged():
            return view
        case e.Unknown():
            return replace(view, unknown=view.unknown + 1)
    assert_never(event)


def _attempt(view: RunView, event: e.LogOpened, wall: float) -> RunView:
    """A new process: what belonged to the last one is forgotten, what the run has reached stays."""
    return replace(
        view,
        identity=Identity(
            run_id=event.run_id,
            attempt=event.attempt,
            pid=event.pid,
            host=event.host,
            boot_id=event.boot_id,
            version=event.version,
            argv=event.argv,
        ),
        phase=Phase.SETUP,
        phase_since=wall,
        phase_walls={Phase.SETUP.value: wall},
        paused=False,
        paused_since=None,
        reason=None,
        task=None,
        progress=replace(view.progress, recent=()),
        saving=False,
        alarms=(),
        gpus=(),
        host=None,
        controls=tuple(replace(item, state="expired") if item.state == "accepted" else item for item in view.controls),
        viewers=(),
        disabled_sinks=(),
        failure=None,
        ending=None,
    )


def _phase(view: RunView, event: e.PhaseChanged, wall: float) -> RunView:
    if view.paused and event.new not in TRAINING:
        # Leaving training ends a pause, whether or not the engine says so.
        view = _unpaused(view, max(0.0, wall - (view.paused_since or wall)))
    if event.old is Phase.INIT and event.new in TRAINING and event.step < view.progress.step:
        # Nothing was restored: this attempt begins before the steps of the last one.
        view = training.rolled_back(view, event.step)
    stopped = event.new is Phase.STOPPED
    return replace(
        view,
        phase=event.new,
        phase_since=wall,
        phase_walls={**view.phase_walls, event.new.value: wall},
        reason=event.reason or view.reason,
        task=None if stopped else view.task,
        saving=view.saving and not stopped,
    )


def _unpaused(view: RunView, paused_s: float) -> RunView:
    if not view.paused:
        return view
    progress = replace(view.progress, paused_s=view.progress.paused_s + paused_s)
    return replace(view, paused=False, paused_since=None, progress=progress)


def _progressed(view: RunView, event: e.TaskProgressed) -> RunView:
    if view.task is None or view.task.name != event.task:
        return view
    return revised(view, task=replace(view.task, done=event.done))


def _saved(view: RunView, event: e.CheckpointCompleted, wall: float) -> RunView:
    others = (item for item in view.checkpoints if item.path != event.path)
    if event.best:
        others = (replace(item, best=False) if item.best else item for item in others)
    return revised(view, saving=False, checkpoints=(*others, Saved(wall=wall, **_fields(event)))[-training.KEPT :])


def _answered(view: RunView, id: str, state: str, detail: str) -> RunView:
    controls = (replace(item, state=state, detail=detail) if item.id == id else item for item in view.controls)
    return replace(view, controls=tuple(controls))


def _rejected(view: RunView, event: e.CommandRejected) -> RunView:
    expired = event.reason.startswith("expired")
    return _answered(view, event.id, "expired" if expired else "rejected", event.reason)


def _gpus(view: RunView, event: e.GpuSampled, wall: float) -> RunView:
    known = [device.utilisation for device in event.devices if training.finite(device.utilisation) is not None]
    if not known:
        return revised(view, gpus=event.devices)
    mean = sum(value for value in known if value is not None) / len(known)
    return revised(
        view, gpus=event.devices, gpu_utilisation=append(view.gpu_utilisation, view.progress.step, wall, mean)
    )


def _fields(event: e.Event) -> dict[str, Any]:
    """The fields of an event whose part of the view has the same names."""
    return {name: getattr(event, name) for name in _NAMES[event.kind]}
