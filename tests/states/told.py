"""Events as the tests of the fold tell them: what does not matter is filled in."""

from __future__ import annotations

from states.events import (
    CheckpointCompleted,
    CommandReceived,
    EvalCompleted,
    LogOpened,
    PhaseChanged,
    Record,
    RunPlanned,
    StepCompleted,
)
from states.phases import Cause, Trigger
from states.reducer import fold
from states.view import RunView


def journal(*events, start=0):
    return [Record(seq=n, wall=1000.0 + n, mono=float(n), event=event) for n, event in enumerate(events, start)]


def view_of(*events) -> RunView:
    return fold(journal(*events))


def opened(attempt=1):
    return LogOpened(schema=1, run_id="r", attempt=attempt, pid=7, host="h", boot_id="b", version="0")


def phase(old, new, *, step=0, reason=None):
    return PhaseChanged(old=old, new=new, trigger=Trigger.ADVANCE, step=step, reason=reason)


def step(number, loss=1.0, tokens=100, step_s=0.5):
    return StepCompleted(
        step=number,
        epoch=number / 10,
        loss=loss,
        lr=1e-4,
        grad_norm=0.5,
        tokens=tokens,
        targets=50,
        step_s=step_s,
        data_s=0,
    )


def steps(first, last):
    return [step(number) for number in range(first, last + 1)]


def evaluated(at, loss, *, best=False, scope="subset"):
    return EvalCompleted(step=at, scope=scope, loss=loss, targets=9, eval_s=2.0, best=best, domains={})


def saved(at, *, best=False, cause=Cause.SCHEDULE):
    return CheckpointCompleted(step=at, path=f"checkpoint-{at}", cause=cause, bytes=10, save_s=1.0, best=best)


def planned(total=100, *, per_epoch=10):
    return RunPlanned(
        profile="balanced",
        source="assumed",
        planned_steps=total,
        warmup_steps=10,
        epochs=3.0,
        steps_per_epoch=per_epoch,
        conversations_per_step=32,
        tokens_per_step=100,
        eval_every=10,
        tokens_per_s=200.0,
        estimated_s={"training": 50.0},
    )


def received(id, command="checkpoint"):
    return CommandReceived(id=id, command=command, args={}, via="socket", by=9)
