"""`status` and `send` as a person or a script uses them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner, Result

from configs.errors import UsageError, UserError
from engine.run import commands
from engine.run.bus import Bus, Clock
from engine.run.control import ControlServer
from engine.run.inbox import Inbox
from engine.run.journal import Journal
from engine.run.locate import find_run
from engine.run.rundir import EngineInfo, RunDir
from engine.run.signals import Flags
from engine.run.status import look
from states.commands import Finish, Pause
from states.events import (
    CheckpointCompleted,
    EvalCompleted,
    Event,
    LogOpened,
    PhaseChanged,
    RunConfigured,
    RunPlanned,
    RunStopped,
    StepCompleted,
)
from states.phases import Cause, Outcome, Phase, Reason, Trigger

app = typer.Typer()
app.command()(commands.status)
app.command()(commands.send)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def story(start: float) -> list[Event]:
    """Half of a run whose window opened at `start`."""
    return [
        LogOpened(schema=1, run_id="run-1", attempt=1, pid=77, host="h", boot_id="b", version="0.1.0"),
        RunConfigured(
            config={}, config_hash="c0ffee", opened_wall=start, deadline_wall=start + 12 * 3600, reserve_s=1800.0
        ),
        RunPlanned(
            profile="balanced",
            source="measured",
            planned_steps=750,
            warmup_steps=75,
            epochs=3.0,
            steps_per_epoch=250,
            conversations_per_step=32,
            tokens_per_step=16000,
            eval_every=75,
            tokens_per_s=800.0,
            estimated_s={"training": 15000.0},
        ),
        PhaseChanged(old=Phase.SETUP, new=Phase.INIT, trigger=Trigger.ADVANCE, step=0),
        PhaseChanged(old=Phase.INIT, new=Phase.WARMUP, trigger=Trigger.ADVANCE, step=0),
        StepCompleted(
            step=75, epoch=0.3, loss=2.145, lr=1e-4, grad_norm=1.0, tokens=16000, targets=9000, step_s=20.0, data_s=0.1
        ),
        EvalCompleted(step=75, scope="subset", loss=1.5, targets=100, eval_s=9.0, best=True, domains={}),
        CheckpointCompleted(step=75, path="checkpoint-75", cause=Cause.SCHEDULE, bytes=10, save_s=1.0),
    ]


END = RunStopped(
    outcome=Outcome.FINISHED,
    reason=Reason.TARGET,
    step=75,
    tokens=16000,
    trained_s=20.0,
    paused_s=0.0,
    wall_s=30.0,
    exit_code=0,
)


@pytest.fixture
def told(rundir: RunDir) -> Iterator[Bus]:
    """A bus that has told half of a run, an hour ago and since."""
    start = time.time() - 3600.0
    wall = iter(start + 60.0 * i for i in range(1000))
    bus = Bus(Journal.open(rundir.events), Clock(wall=lambda: next(wall)))
    for event in story(start):
        bus.emit(event)
    yield bus
    bus.close()


def test_a_live_run_tells_its_step_loss_window_and_checkpoint(rundir: RunDir, told: Bus) -> None:
    del told
    with rundir.hold_lock():
        facts = orjson.loads(call("status", rundir.path, "--json").stdout)
        text = call("status", rundir.path).stdout
    assert facts["state"] == "running"
    assert (facts["phase"], facts["step"], facts["planned_steps"]) == ("warmup", 75, 750)
    assert facts["elapsed_s"] == pytest.approx(3600, abs=60)
    assert facts["remaining_s"] == pytest.approx(11 * 3600, abs=60)
    assert facts["projected_finish_wall"] > time.time()
    assert facts["checkpoint"] == "checkpoint-75"
    assert facts["checkpoint_age_s"] == pytest.approx(3600 - 7 * 60, abs=60)
    for words in (
        "running, warmup phase",
        "step 75 of 750 (10.0%), loss 2.1450",
        "best 1.5000 at step 75",
        "1h 00m used",
    ):
        assert words in text


def test_a_killed_run_is_lost_and_says_how_to_go_on(rundir: RunDir, told: Bus) -> None:
    told.close()
    result = call("status", rundir.path)
    assert result.exit_code == 0
    assert ": lost" in result.stdout
    assert "--resume auto" in result.stdout


def test_a_stopped_run_tells_how_it_ended(rundir: RunDir, told: Bus) -> None:
    told.emit(END)
    told.close()
    facts = orjson.loads(call("status", rundir.path, "--json").stdout)
    assert (facts["state"], facts["outcome"], facts["reason"], facts["exit_code"]) == (
        "stopped",
        "finished",
        "target",
        0,
    )
    assert "finished (target), exit code 0" in call("status", rundir.path).stdout


def test_a_new_attempt_that_was_killed_is_lost_although_the_one_before_had_stopped(rundir: RunDir, told: Bus) -> None:
    told.emit(END)
    told.close()
    again = Bus(Journal.open(rundir.events), Clock())
    again.emit(LogOpened(schema=1, run_id="run-1", attempt=2, pid=78, host="h", boot_id="b", version="0.1.0"))
    again.close()
    assert look(rundir)[0] == "lost"


def test_an_engine_that_has_written_nothing_yet_is_starting(rundir: RunDir) -> None:
    with rundir.hold_lock():
        assert call("status", rundir.path).stdout.startswith(f"{rundir.path}: starting")


def test_a_directory_without_a_run_is_a_usage_error(tmp_path: Path) -> None:
    result = call("status", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert "no run is here" in result.exception.message


@pytest.fixture
def loop(rundir: RunDir, bus: Bus, engine_info: EngineInfo) -> Iterator[list[object]]:
    """An engine that obeys everything but a pause, and keeps what it was asked for."""
    inbox, stop, asked = Inbox(bus, Flags()), threading.Event(), list[object]()

    def run() -> None:
        while not stop.is_set():
            inbox.wait(0.01)
            while (order := inbox.take()) is not None:
                asked.append(order.command)
                if isinstance(order.command, Pause):
                    inbox.rejected(order, "already paused")
                elif order.command.name != "evaluate":
                    inbox.applied(order, step=7, detail="checkpoint-7")

    with rundir.hold_lock(), ControlServer(rundir, engine_info, inbox, lambda: {"phase": "main"}):
        thread = threading.Thread(target=run)
        thread.start()
        yield asked
        stop.set()
        thread.join()


@pytest.mark.usefixtures("loop")
def test_send_says_each_stage_and_exits_with_0_once_applied(rundir: RunDir) -> None:
    result = call("send", "checkpoint", rundir.path)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "checkpoint: accepted; the engine acts at its next step boundary",
        "checkpoint: applied, checkpoint-7",
    ]


def test_send_finish_passes_the_cool_down(rundir: RunDir, loop: list[object]) -> None:
    assert call("send", "finish", rundir.path, "--cooldown", "60").exit_code == 0
    assert loop == [Finish(cooldown_s=60.0)]


@pytest.mark.usefixtures("loop")
def test_send_exits_with_1_when_the_engine_refuses(rundir: RunDir) -> None:
    result = call("send", "pause", rundir.path)
    assert result.exit_code == 1
    assert "pause: rejected, already paused" in result.stdout


@pytest.mark.usefixtures("loop")
def test_send_gives_up_waiting_but_says_that_the_command_stands(rundir: RunDir) -> None:
    result = call("send", "evaluate", rundir.path, "--timeout", "0.1")
    assert result.exit_code == 1
    assert "not yet applied after 0.1 s; it still stands" in result.stdout


@pytest.mark.usefixtures("loop")
def test_send_in_json_is_one_object(rundir: RunDir) -> None:
    result = call("send", "checkpoint", rundir.path, "--json")
    said = orjson.loads(result.stdout)
    assert (said["state"], said["detail"], said["data"]) == ("applied", "checkpoint-7", {"step": 7})
    assert orjson.loads(call("send", "status", rundir.path, "--json").stdout)["data"] == {"phase": "main"}


def test_send_to_a_run_that_is_gone_is_an_error_that_says_so(rundir: RunDir, told: Bus) -> None:
    told.close()
    result = call("send", "checkpoint", rundir.path)
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == 1
    assert "the run is lost" in result.exception.message


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["dance"], "The commands are: checkpoint"),
        (["pause", "--cooldown", "5"], "--cooldown belongs to finish"),
        (["finish", "--cooldown", "-5"], "0 or more"),
        (["finish", "--cooldown", "nan"], "0 or more"),
    ],
)
def test_a_wrong_command_is_a_usage_error_before_anything_is_sent(
    rundir: RunDir, arguments: list[str], complaint: str
) -> None:
    name, *options = arguments
    result = call("send", name, rundir.path, *options)
    assert isinstance(result.exception, UsageError)
    assert complaint in result.exception.message


def test_the_run_of_this_place_is_found_without_naming_it(
    tmp_path: Path, told: Bus, rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    del told
    monkeypatch.chdir(rundir.path)
    assert find_run(None).path == rundir.path
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="stint-demo: no run is here"):
        find_run(None)
    for name in ("stint-demo", "stint-demo-2", "stint-demo-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_bytes(b"")
        time.sleep(0.02)
    assert find_run(None).path == tmp_path / "stint-demo-2"
    assert find_run(rundir.events).path == rundir.path
