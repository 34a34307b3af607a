"""What a person can ask of a running engine, in every phase, over the real socket and by real signals."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from engine.run.rundir import RunDir
from states.commands import Abort, Checkpoint, Evaluate, Finish, Pause, Unpause
from states.events import (
    CheckpointCompleted,
    CommandApplied,
    CommandRejected,
    DeadlineReached,
    DeadlineReplanned,
    EvalCompleted,
    PhaseChanged,
    RunPaused,
    RunStopped,
    RunUnpaused,
    StepCompleted,
)
from states.phases import Cause, ExitCode, Outcome, Phase, Reason

SETUP = "engine.training.preparing.read_sources"
INIT = "engine.training.build.load_base"
STEP = "engine.training.memory.take_step"
EVALUATION = "engine.training.evaluating.evaluate"
FINALIZE = "engine.training.finalize.evaluate"
WARMUP_CALL, MAIN_CALL = 1, 9


def ending(bench) -> RunStopped:
    (stopped,) = bench.events(RunStopped)
    assert not RunDir(bench.run).socket.exists(), "the socket is gone in Stopped"
    assert not RunDir(bench.run).is_live()
    return stopped


def phases(bench) -> list[Phase]:
    return [event.new for event in bench.events(PhaseChanged)]


def test_an_untouched_run_passes_through_every_phase(bench):
    assert bench.go() == ExitCode.FINISHED
    assert phases(bench) == [Phase.INIT, Phase.WARMUP, Phase.MAIN, Phase.FINALIZE, Phase.STOPPED]
    assert (ending(bench).outcome, ending(bench).reason) == (Outcome.FINISHED, Reason.TARGET)


def test_a_checkpoint_on_demand_is_written_at_the_next_step_boundary(bench):
    bench.at(STEP, lambda: bench.send(Checkpoint()), call=MAIN_CALL)
    assert bench.go() == ExitCode.FINISHED
    (reply,) = bench.replies
    assert (reply.state, reply.detail) == ("applied", f"checkpoint-{MAIN_CALL}")
    saved = [event for event in bench.events(CheckpointCompleted) if event.cause is Cause.OPERATOR]
    assert [event.step for event in saved] == [MAIN_CALL]


def test_an_evaluation_on_demand_says_its_loss(bench):
    bench.at(STEP, lambda: bench.send(Evaluate()), call=MAIN_CALL)
    assert bench.go() == ExitCode.FINISHED
    assert bench.replies[0].state == "applied"
    assert bench.replies[0].detail.startswith("loss ")
    assert MAIN_CALL in [event.step for event in bench.events(EvalCompleted)]


def test_pause_holds_training_until_unpaused_and_the_window_goes_on(bench):
    def pause_for_a_while() -> None:
        bench.send(Pause())
        threading.Timer(0.8, lambda: bench.send(Unpause())).start()

    bench.at(STEP, pause_for_a_while, call=MAIN_CALL)
    assert bench.go() == ExitCode.FINISHED
    ((paused,), (unpaused,)) = bench.events(RunPaused), bench.events(RunUnpaused)
    assert paused.step == unpaused.step == MAIN_CALL
    assert unpaused.paused_s > 0.3
    assert ending(bench).paused_s == pytest.approx(unpaused.paused_s)
    assert {reply.state for reply in bench.replies} == {"applied"}


def test_pausing_twice_and_unpausing_a_running_run_are_rejected_with_a_reason(bench):
    def insist() -> None:
        bench.send(Unpause())
        bench.send(Pause())
        bench.send(Pause())
        bench.send(Unpause())

    bench.at(STEP, insist, call=MAIN_CALL)
    assert bench.go() == ExitCode.FINISHED
    rejected = bench.events(CommandRejected)
    assert [event.command for event in rejected] == ["unpause", "pause"]
    assert all(event.reason for event in rejected)


def test_a_paused_run_still_writes_checkpoints_and_finishes_when_told(bench):
    def from_the_pause() -> None:
        bench.send(Pause())
        bench.send(Checkpoint())
        threading.Timer(0.3, lambda: bench.send(Finish())).start()

    bench.at(STEP, from_the_pause, call=MAIN_CALL)
    assert bench.go() == ExitCode.FINISHED
    assert ending(bench).reason is Reason.OPERATOR
    assert ending(bench).step == MAIN_CALL
    assert ending(bench).paused_s > 0.1


@pytest.mark.parametrize("call", [WARMUP_CALL, MAIN_CALL], ids=["warmup", "main"])
def test_finish_ends_training_evaluates_and_publishes(bench, call):
    bench.at(STEP, lambda: bench.send(Finish()), call=call)
    assert bench.go() == ExitCode.FINISHED
    stopped = ending(bench)
    assert (stopped.reason, stopped.outcome, stopped.step) == (Reason.OPERATOR, Outcome.FINISHED, call)
    assert phases(bench)[-2:] == [Phase.FINALIZE, Phase.STOPPED]
    assert (bench.run / "MANIFEST.json").is_file()
    assert bench.replies[0].state == "applied"


def test_finish_with_a_cool_down_brings_the_rate_down_first(bench):
    bench.at(STEP, lambda: bench.send(Finish(cooldown_s=0.0001)), call=MAIN_CALL)
    assert bench.go() == ExitCode.FINISHED
    assert ending(bench).reason is Reason.OPERATOR
    assert ending(bench).step == MAIN_CALL + 1
    (replanned,) = bench.events(DeadlineReplanned)
    assert replanned.planned_steps == MAIN_CALL + 1


@pytest.mark.parametrize("command", [Abort(), Finish()], ids=["abort", "finish"])
@pytest.mark.parametrize("point", [SETUP, INIT], ids=["setup", "init"])
def test_before_training_any_stop_cancels_the_run(bench, point, command):
    def stop() -> None:
        bench.send(command)
        time.sleep(5.0)  # a long load: the cancellation interrupts it
        raise AssertionError("the load was not interrupted")

    bench.at(point, stop)
    began = time.monotonic()
    assert bench.go() == ExitCode.CANCELLED
    assert time.monotonic() - began < 5.0
    assert (ending(bench).reason, ending(bench).outcome) == (Reason.OPERATOR, Outcome.CANCELLED)
    assert phases(bench)[-1] is Phase.STOPPED
    assert bench.replies[0].state == "applied"


@pytest.mark.parametrize(
    ("point", "call"),
    [(STEP, WARMUP_CALL), (STEP, MAIN_CALL), (EVALUATION, 2)],
    ids=["warmup", "main", "inside an evaluation"],
)
def test_abort_stops_at_once_without_finalizing(bench, point, call):
    bench.at(point, lambda: bench.send(Abort()), call=call)
    assert bench.go() == ExitCode.CANCELLED
    assert Phase.FINALIZE not in phases(bench)
    assert (ending(bench).reason, ending(bench).outcome) == (Reason.OPERATOR, Outcome.CANCELLED)
    assert not (bench.run / "MANIFEST.json").exists()
    assert bench.replies[0].state == "applied"


@pytest.mark.parametrize("command", [Abort(), Finish()], ids=["abort", "finish"])
def test_in_finalize_a_stop_skips_what_is_optional(bench, command):
    bench.at(FINALIZE, lambda: bench.send(command))
    assert bench.go() == ExitCode.FINISHED
    assert bench.events(EvalCompleted)[-1].loss is None, "the final evaluation was cut"
    assert (bench.run / "MANIFEST.json").is_file(), "the model was still published"
    assert bench.replies[0].state == "applied"


def test_what_makes_no_sense_in_finalize_is_rejected(bench):
    bench.at(FINALIZE, lambda: bench.send(Pause()))
    assert bench.go() == ExitCode.FINISHED
    assert bench.replies[0].state == "rejected"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
@pytest.mark.parametrize("point", [SETUP, INIT], ids=["setup", "init"])
def test_a_signal_before_training_cancels(bench, point, number):
    bench.at(point, lambda: os.kill(os.getpid(), number))
    assert bench.go() == ExitCode.CANCELLED
    assert ending(bench).reason is Reason.SIGNAL


@pytest.mark.parametrize("call", [WARMUP_CALL, MAIN_CALL], ids=["warmup", "main"])
def test_a_signal_in_training_leaves_a_checkpoint_to_resume_from(bench, call):
    bench.at(STEP, lambda: os.kill(os.getpid(), signal.SIGTERM), call=call)
    assert bench.go() == ExitCode.INTERRUPTED
    stopped = ending(bench)
    assert (stopped.reason, stopped.outcome) == (Reason.SIGNAL, Outcome.INTERRUPTED)
    assert stopped.checkpoint == f"checkpoint-{call}"
    bench.monkeypatch.undo()
    assert bench.go(resume="auto") == ExitCode.FINISHED
    steps = [event.step for event in bench.events(StepCompleted)]
    assert steps == sorted(set(steps)), "no step was taken twice"


def test_a_signal_while_paused_is_obeyed(bench):
    def pause_then_terminate() -> None:
        bench.send(Pause())
        threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()

    bench.at(STEP, pause_then_terminate, call=MAIN_CALL)
    assert bench.go() == ExitCode.INTERRUPTED


def test_user_signals_checkpoint_and_pause(bench):
    def by_signal() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGUSR2)).start()

    bench.at(STEP, by_signal, call=MAIN_CALL)
    assert bench.go() == ExitCode.FINISHED
    assert [event.command for event in bench.events(CommandApplied)] == ["checkpoint", "pause", "unpause"]


def test_a_deadline_completes_a_shorter_horizon_in_time(bench):
    bench.monkeypatch.setattr(STEP, slowly(bench))
    began = time.time()
    hours = 12.0 / 3600.0
    assert bench.go(hours=hours, overrides=("training.num_train_epochs=100", "training.eval_steps=50")) == 0
    assert time.time() - began <= 12.0
    stopped = ending(bench)
    assert stopped.reason is Reason.DEADLINE
    last = bench.events(StepCompleted)[-1]
    peak = max(event.lr for event in bench.events(StepCompleted))
    assert last.lr < 0.1 * peak, "the cosine was brought to its end"
    assert bench.events(DeadlineReplanned) or bench.events(DeadlineReached)
    assert (bench.run / "MANIFEST.json").is_file()


def slowly(bench):
    from engine.training.step import take_step

    def step(*args, **rest):
        time.sleep(0.05)
        return take_step(*args, **rest)

    return step
