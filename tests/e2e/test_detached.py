"""An engine in a process of its own: it outlives its terminal, is found again, obeys from outside, and may be lost."""

from __future__ import annotations

import json
import os
import signal

from engine.training.choose import Choice, choose
from engine.training.main import run_engine
from states.events import CheckpointCompleted, RunPaused, RunRestored, RunStopped, RunUnpaused
from states.phases import Cause, ExitCode, Outcome, Phase, Reason
from states.reducer import fold
from tuiapp import format as fmt
from tuiapp.frame import Link
from tuiapp.messages import Advanced
from tuiapp.replay import ReplaySource
from tuiapp.source import LiveSource
from tuiapp.tape import Tape

LOST_S = 5.0


def test_a_closed_terminal_leaves_the_engine_training_and_attach_shows_all_of_it(lasting, terminal, terminals):
    run = lasting()
    first = terminal("--config", run.config)
    painted, used = first.until("STINT"), terminals.cpu_s(first.pid)
    first.until("load torch and transformers")
    first.until(r"MAIN .*step [\d,]+/")
    engine = run.pid
    assert "libtorch" in terminals.maps(engine)
    assert "libtorch" not in terminals.maps(first.pid), "what opens the cockpit and spawns the engine is light"

    assert first.hang_up() == 128 + signal.SIGHUP

    run.trains(5)
    assert terminals.stint("send", "pause", run.path).returncode == 0
    second = terminal("attach", run.path)
    shown, used_again = second.until("PAUSED.*LIVE"), terminals.cpu_s(second.pid)
    print(f"run.py: first frame after {painted:.2f} s (CPU {used:.2f} s); ", end="")
    print(f"attach: the run on the screen after {shown:.2f} s (CPU {used_again:.2f} s)")
    assert max(painted, shown) < terminals.noisy(3.0), "the promise is one second"
    assert "libtorch" not in terminals.maps(second.pid)
    view = run.view
    second.until(f"step {fmt.count(view.progress.step)}/{fmt.count(view.plan.planned_steps)}")
    second.until(f"loss {fmt.loss(view.progress.smooth_loss)}")
    second.until(f"val {fmt.loss(view.evaluations[0].loss)}")
    assert second.leave() == 0
    assert (run.rundir.is_live(), run.pid) == (True, engine)

    late: list[Advanced] = []
    source = LiveSource(run.rundir)
    source.start(late.append)
    terminals.wait_for(lambda: late and late[-1].link is Link.LIVE, "a live view")
    source.close()
    assert late[-1].view == fold(record for record in run.records if record.seq <= late[-1].view.seq)


def test_a_killed_engine_is_lost_within_five_seconds_and_resume_goes_on(lasting, terminal, terminals):
    run = lasting()
    assert terminals.stint("--config", run.config, "--detach").returncode == 0
    run.trains(5)
    assert terminals.stint("send", "checkpoint", run.path).returncode == 0
    (saved,) = run.events(CheckpointCompleted)
    run.trains(5)
    viewer = terminal("attach", run.path)
    watched = viewer.until("LIVE")

    os.kill(run.pid, signal.SIGKILL)

    lost = viewer.until("LOST", terminals.noisy(LOST_S))
    print(f"LOST on the screen at most {lost - watched:.2f} s after the kill")
    assert viewer.leave() == ExitCode.ERROR
    facts = json.loads(terminals.stint("status", "--json", run.path).stdout)
    assert (facts["state"], facts["checkpoint_step"], facts["exit_code"]) == ("lost", saved.step, None)

    again = terminals.stint("--config", run.config, "--resume", "auto", "--detach")
    assert again.returncode == 0, again.stderr
    terminals.wait_for(lambda: run.events(RunRestored), "a restored run")
    run.trains(5)
    (restored,) = run.events(RunRestored)
    assert restored.step == saved.step
    assert (run.view.identity.attempt, run.rundir.is_live()) == (2, True)


def test_a_detached_engine_obeys_what_is_sent(lasting, terminals):
    run = lasting()

    started = terminals.stint("--config", run.config, "--detach")

    assert started.returncode == 0, started.stderr
    assert f"python run.py attach {run.path}" in started.stdout
    assert run.rundir.is_live()
    run.trains()
    for command in ("checkpoint", "pause", "unpause", "finish"):
        sent = terminals.stint("send", command, run.path)
        assert (sent.returncode, sent.stderr) == (0, "")
        assert f"{command}: accepted" in sent.stdout
        assert f"{command}: applied" in sent.stdout
    terminals.wait_for(lambda: not run.rundir.is_live(), "the end of the engine")

    causes = [event.cause for event in run.events(CheckpointCompleted)]
    assert causes[0] is Cause.OPERATOR
    assert len(run.events(RunPaused)) == len(run.events(RunUnpaused)) == 1
    stopped = run.records[-1].event
    assert isinstance(stopped, RunStopped)
    assert (stopped.outcome, stopped.reason, stopped.exit_code) == (Outcome.FINISHED, Reason.OPERATOR, 0)
    assert run.view.phase is Phase.STOPPED
    facts = json.loads(terminals.stint("status", "--json", run.path).stdout)
    assert (facts["state"], facts["exit_code"]) == ("stopped", 0)
    late = terminals.stint("send", "checkpoint", run.path)
    assert late.returncode == 1
    assert "the run is stopped" in late.stderr


def test_a_replay_ends_on_the_view_the_live_cockpit_ended_on(lasting, terminals):
    run = lasting(num_train_epochs=1, eval_steps=10)
    live: list[Advanced] = []
    source = LiveSource(run.rundir)
    source.start(live.append)
    try:
        assert run_engine(choose(Choice(config=run.config)), quiet=True) == ExitCode.FINISHED
        terminals.wait_for(lambda: live[-1].link is Link.ENDED, "the end on the screen")
    finally:
        source.close()
    assert len({message.view.seq for message in live}) > 3, "it was watched while it ran"

    tape = Tape(run.rundir.events)
    replay = ReplaySource(tape)
    replayed: list[Advanced] = []
    replay.seek_to(tape.length_s)
    replay.start(replayed.append)
    terminals.wait_for(lambda: replayed and replayed[-1].view.ending, "the end of the tape")
    replay.close()
    assert replayed[-1].view == live[-1].view
