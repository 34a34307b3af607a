"""The event feed: short plain lines, for what a person wants to know and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from states.events import (
    KINDS,
    CheckpointCompleted,
    CheckpointFailed,
    CommandApplied,
    CommandReceived,
    CommandRejected,
    DeadlineApproached,
    DeadlineReached,
    DeadlineReplanned,
    EarlyStopTriggered,
    EvalCompleted,
    GpuSampled,
    HostSampled,
    MessageLogged,
    PhaseChanged,
    Record,
    RunFailed,
    RunPaused,
    RunRestored,
    RunStopped,
    RunUnpaused,
    StepCompleted,
    StepRejected,
    TaskProgressed,
    Unknown,
)
from states.feed import WHY, line
from states.phases import Cause, Outcome, Phase, Reason, Trigger
from states.reducer import EMPTY, fold
from states.text import clean


def step(number):
    return StepCompleted(
        step=number, epoch=0.1, loss=1.0, lr=1e-4, grad_norm=0.5, tokens=9, targets=5, step_s=0.5, data_s=0.0
    )


def view_of(*events):
    return fold([Record(seq=n, wall=1000.0 + n, mono=float(n), event=event) for n, event in enumerate(events)])


def evaluation(loss, *, best=False):
    return EvalCompleted(step=1500, scope="subset", loss=loss, targets=9, eval_s=2.0, best=best, domains={})


STOPPED = RunStopped(
    outcome=Outcome.FINISHED,
    reason=Reason.TARGET,
    step=750,
    tokens=1,
    trained_s=1.0,
    paused_s=0.0,
    wall_s=39_900.0,
    exit_code=0,
)


@pytest.mark.parametrize(
    ("event", "topic", "text", "tone"),
    [
        (
            PhaseChanged(old=Phase.WARMUP, new=Phase.MAIN, trigger=Trigger.ADVANCE, step=75),
            "phase",
            "warmup -> main",
            "info",
        ),
        (
            PhaseChanged(old=Phase.MAIN, new=Phase.FINALIZE, trigger=Trigger.FINISH, step=9, reason=Reason.EARLY_STOP),
            "phase",
            "main -> finalize: the validation loss stopped improving",
            "info",
        ),
        (evaluation(1.25, best=True), "eval", "step 1,500, subset: loss 1.2500, perplexity 3.49, best so far", "good"),
        (evaluation(1.5), "eval", "step 1,500, subset: loss 1.5000, perplexity 4.48", "info"),
        (evaluation(None), "eval", "subset evaluation at step 1,500 gave no loss", "warn"),
        (
            CheckpointCompleted(
                step=500, path="checkpoint-500", cause=Cause.OPERATOR, bytes=1_472_000_000, save_s=12.4, best=True
            ),
            "checkpoint",
            "checkpoint-500, 1.5 GB in 12 s (operator), best so far",
            "good",
        ),
        (
            CheckpointFailed(step=5, path="checkpoint-5", error="[Errno 28] No space\nleft"),
            "checkpoint",
            "checkpoint-5 failed, training goes on: [Errno 28] No space left",
            "bad",
        ),
        (RunPaused(step=40), "pause", "paused at step 40; the window goes on", "warn"),
        (RunUnpaused(step=40, paused_s=200.0), "pause", "going on after 3m 20s", "info"),
        (
            RunRestored(checkpoint="checkpoint-500", step=500, tokens=1, trained_s=1.0),
            "resume",
            "from checkpoint-500 at step 500",
            "good",
        ),
        (
            DeadlineReplanned(step=9, planned_steps=600, step_s=41.25, remaining_s=9.0, why="steps are slower"),
            "plan",
            "600 steps at 41.2 s each: steps are slower",
            "info",
        ),
        (
            DeadlineApproached(step=9, remaining_s=3500.0, reserve_s=1800.0),
            "deadline",
            "58m 20s left, 30m 00s reserved",
            "warn",
        ),
        (DeadlineReached(step=9, remaining_s=1800.0), "deadline", "training ends, 30m 00s left to finalize", "warn"),
        (
            EarlyStopTriggered(step=9, loss=1.5, best_loss=1.25, best_step=6, patience=3),
            "stop",
            "3 evaluations without improvement on 1.2500 at step 6",
            "warn",
        ),
        (
            EarlyStopTriggered(step=9, loss=None, best_loss=None, best_step=None, patience=3),
            "stop",
            "3 evaluations without improvement",
            "warn",
        ),
        (
            CommandReceived(id="1", command="pause", args={}, via="socket", by=4711),
            "command",
            "pause asked by socket, pid 4711",
            "info",
        ),
        (
            CommandReceived(id="1", command="checkpoint", args={}, via="signal"),
            "command",
            "checkpoint asked by signal",
            "info",
        ),
        (
            CommandRejected(id="1", command="pause", reason="already paused"),
            "command",
            "pause refused: already paused",
            "warn",
        ),
        (
            StepRejected(step=9, why="the loss is NaN", streak=2),
            "step",
            "step 9 not taken: the loss is NaN (2 in a row)",
            "warn",
        ),
        (MessageLogged(level="WARNING", logger="peft", text="careful"), "message", "peft: careful", "warn"),
        (MessageLogged(level="error", logger="torch", text="oh"), "message", "torch: oh", "bad"),
        (
            RunFailed(error_type="OutOfMemoryError", message="2 GB", traceback="...", phase=Phase.MAIN, step=5),
            "failure",
            "OutOfMemoryError in main: 2 GB",
            "bad",
        ),
        (STOPPED, "stop", "finished at step 750 after 11h 05m: all planned steps are done", "good"),
    ],
)
def test_the_line_of_an_event(event, topic, text, tone):
    said = line(EMPTY, event)
    assert (said.topic, said.text, said.tone) == (topic, text, tone)


def test_every_reason_has_its_words():
    assert set(WHY) == set(Reason)


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_is_short_and_single_and_its_tone_is_known(kind):
    @settings(max_examples=30)
    @given(st.from_type(KINDS[kind]))
    def holds(event):
        said = line(EMPTY, event)
        if said is not None:
            assert 0 < len(said.text) <= 200
            assert said.text.splitlines() == [said.text]
            assert said.text == clean(said.text)
            assert said.tone in ("info", "good", "warn", "bad")

    holds()


def test_what_has_no_line_leaves_none():
    assert line(EMPTY, Unknown("moon.landed", {})) is None
    assert line(EMPTY, CommandApplied(id="1", command="pause", step=1)) is None


def test_samples_and_steps_leave_no_line_in_the_feed():
    host = HostSampled(cpu_percent=1, process_percent=1, rss=1, memory_used=1, memory_total=1, disk_free=1)
    assert view_of(step(1), host, GpuSampled(devices=()), TaskProgressed(task="x", done=1)).feed == ()


def test_a_line_knows_its_record_and_its_step():
    (line,) = view_of(step(3), MessageLogged(level="warning", logger="peft", text="careful")).feed
    assert (line.seq, line.wall, line.step, line.topic, line.tone) == (1, 1001.0, 3, "message", "warn")
    assert line.text == "peft: careful"
