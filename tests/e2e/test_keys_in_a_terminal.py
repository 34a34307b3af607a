"""Every key of the footer, pressed in a real terminal of two sizes, on a real engine in a process of its own."""

from __future__ import annotations

import re

import pytest

from engine.checkpoint.verify import verify
from states.commands import Checkpoint, Evaluate, Pause, Unpause
from states.events import (
    CheckpointCompleted,
    CommandApplied,
    CommandReceived,
    EvalCompleted,
    RunPaused,
    RunStopped,
    RunUnpaused,
)
from states.phases import Cause, ExitCode, Outcome, Reason

STEP = re.compile(r"step ([\d,]+)/")
SIZES = {"80x24": (80, 24), "160x45": (160, 45)}


def done(label: str) -> str:
    """The line above the keys, once a command has gone its whole way."""
    return rf"{label}\s+requested \S accepted \S \S done"


def step_of(text: str) -> int:
    found = STEP.search(text)
    assert found, text
    return int(found[1].replace(",", ""))


def press_every_key(screen, run):
    """Everything but stopping and leaving."""
    screen.press("k", done("checkpoint"))
    saved = run.events(CheckpointCompleted)[-1]
    assert saved.cause is Cause.OPERATOR
    assert verify(run.path / saved.path).ok
    assert f"checkpoint-{saved.step}" in screen.text

    screen.press("P", "Pause training")
    assert not run.events(RunPaused), "it only asks"
    screen.press("\r", "PAUSED")
    assert len(run.events(RunPaused)) == 1
    held = run.steps()
    screen.press("P", done("resume"))
    screen.until("PAUSED", gone=True)
    assert len(run.events(RunUnpaused)) == 1
    run.trains()
    assert run.steps() > held

    screen.press("e", done("evaluate"))
    assert run.events(EvalCompleted)[-1].scope == "subset"

    screen.press(" ", "VIEW FROZEN")
    frozen = step_of(screen.text)
    run.trains()
    screen.until(r"VIEW FROZEN \+[1-9]")
    assert step_of(screen.text) == frozen
    screen.press(" ", "VIEW FROZEN", gone=True)
    assert step_of(screen.text) > frozen

    screen.press("t", r"(?m)^.{1,8}└[─●]*\d+[sm]")
    screen.press("t", r"(?m)^.{1,8}└[─●]*\d+[sm]", gone=True)
    screen.press("\x03", "q detaches and training goes on")
    screen.press("?", "Stint cockpit")
    screen.press("\x1b", "Stint cockpit", gone=True)
    screen.press("x", "Stop training")
    lines = [line for line in screen.text.splitlines() if re.search("Finish gracefully|cool-down$|Abort", line)]
    assert "Finish gracefully" in lines[0]
    screen.press("\x1b", "Stop training", gone=True)
    assert [event.command for event in run.events(CommandReceived)] == [
        command.name for command in (Checkpoint, Pause, Unpause, Evaluate)
    ]
    assert {event.id for event in run.events(CommandReceived)} == {event.id for event in run.events(CommandApplied)}


@pytest.mark.parametrize("size", SIZES)
def test_every_key_does_what_the_footer_says(size, lasting, terminal, terminals):
    columns, rows = SIZES[size]
    run = lasting()
    screen = terminal("--config", run.config, columns=columns, rows=rows)
    screen.until(r"MAIN.*step [\d,]+/")
    press_every_key(screen, run)

    assert screen.leave("q") == 0, "detached"
    assert "Training goes on" in screen.raw.decode()
    run.trains()
    screen = terminal("attach", run.path, columns=columns, rows=rows)
    screen.until(r"MAIN.*step [\d,]+/")

    screen.press("x", "Stop training")
    if size == "80x24":
        screen.press("\r", "ENDED")
        expected = (Outcome.FINISHED, Reason.OPERATOR, ExitCode.FINISHED)
        screen.until("finished")
    else:
        screen.press("\x1b[B\x1b[B\r", "loses the steps since the last checkpoint")
        screen.press("yes\r", "Not aborted")
        assert run.rundir.is_live()
        screen.press("abort\r", "ENDED")
        expected = (Outcome.CANCELLED, Reason.OPERATOR, ExitCode.CANCELLED)
        screen.until("cancelled")
    stopped = run.events(RunStopped)[-1]
    assert (stopped.outcome, stopped.reason, stopped.exit_code) == expected
    assert screen.leave("q") == expected[2]
    assert not run.rundir.is_live()
