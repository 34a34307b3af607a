"""W&B gets the numbers under the names its users know, and can neither delay, fail nor learn more of the run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from configs.wandb import WandbConfig
from engine.run.bus import Bus
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.watch import wandb_run
from engine.watch.tracker import Tracker
from states import events as e
from states.phases import Cause, Outcome, Reason

from .conftest import OPENING, Recorder, step

ROOT = Path(__file__).resolve().parents[2]


class FakeRun:
    def __init__(self) -> None:
        self.logged: list[dict[str, Any]] = []
        self.defined: list[tuple[Any, ...]] = []
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.blocked: threading.Event | None = None

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.defined.append((name, step_metric))

    def log(self, values: dict[str, Any]) -> None:
        if self.blocked is not None:
            self.blocked.wait(20.0)
        self.logged.append(values)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


class FakeWandb:
    """As much of the wandb module as is used; `fail` names the modes in which init raises."""

    class Settings(SimpleNamespace):
        model_fields = dict.fromkeys(["console", "silent", "save_code", "finish_timeout", "x_disable_meta"])

    def __init__(self, fail: tuple[str, ...] = ()) -> None:
        self.run = FakeRun()
        self.inits: list[dict[str, Any]] = []
        self.fail = fail

    def init(self, **options: Any) -> FakeRun:
        self.inits.append(options)
        if options["mode"] in self.fail:
            raise ConnectionError("no route to host")
        return self.run

    def Histogram(self, np_histogram: tuple[list[float], list[float]]) -> tuple[str, list[float]]:
        return ("histogram", np_histogram[0])


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in, whatever machine this runs on."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def tracker(rundir: RunDir, wandb: FakeWandb, mode: str = "offline", **options: Any) -> Tracker:
    config = WandbConfig.model_validate({"project": "therapy", "tags": ["h100"], "mode": mode})
    return Tracker(rundir, config, library=lambda: wandb, **options)


def routing() -> e.ExpertsSampled:
    return e.ExpertsSampled(
        step=10,
        source="train",
        window_steps=10,
        counts=((30, 20, 25, 25), (20, 30, 25, 25)),
        token_entropy=(1.2, 1.1),
        balance_loss=1.01,
        domains={"grief": (9, 1, 1, 1)},
    )


STOPPED = e.RunStopped(
    outcome=Outcome.FINISHED,
    reason=Reason.TARGET,
    step=10,
    tokens=9,
    trained_s=1.0,
    paused_s=0.0,
    wall_s=2.0,
    exit_code=0,
    best_loss=1.5,
    best_step=10,
)


def test_where_files_lie_on_this_machine_is_not_uploaded(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    opening = [
        replace(event, config={"training": {"dataset": "/home/jane/talks.json", "learning_rate": 3e-4}})
        if isinstance(event, e.RunConfigured)
        else event
        for event in OPENING
    ]
    for event in (*opening, step(10), STOPPED):
        sink(record(event, 2.0))
    assert sink.close()
    (options,) = wandb.inits
    assert options["config"]["stint"] == {"training": {"dataset": "talks.json", "learning_rate": 3e-4}}


def test_the_numbers_arrive_under_the_names_of_the_training_guide(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    evaluated = e.EvalCompleted(step=10, scope="subset", loss=1.5, targets=9, eval_s=1.0, best=True, domains={})
    for event in (*OPENING, step(10), evaluated, routing(), STOPPED):
        sink(record(event, 2.0))
    assert sink.close()
    told = {name: value for values in wandb.run.logged for name, value in values.items()}
    assert told["train_loss"] == 2.145
    assert told["eval_loss"] == 1.5
    assert told["learning_rate"] == 2.9e-4
    assert told["grad_norm"] == 0.7
    assert told["tokens_per_s"] == 800.0
    assert told["training/elapsed_hours"] == 2.0
    assert 3.0 < told["training/remaining_hours"] < 6.0
    assert [told[f"expert_usage/{i}"] for i in range(4)] == [0.25, 0.25, 0.25, 0.25]
    assert told["expert_usage"] == ("histogram", [0.25, 0.25, 0.25, 0.25])
    assert told["routing_entropy"] == pytest.approx(1.3762, abs=1e-3)
    assert all(values["train/global_step"] == 10 for values in wandb.run.logged)
    assert ("*", "train/global_step") in wandb.run.defined
    assert wandb.run.summary == {
        "outcome": "finished",
        "reason": "target",
        "steps": 10,
        "best_eval_loss": 1.5,
        "best_step": 10,
    }
    assert wandb.run.exit_code == 0


def test_alarms_and_the_examination_arrive_too(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    alarm = e.ExpertsAlarmed(
        step=10,
        source="train",
        rule="dominant",
        level="bad",
        raised=True,
        layers=(1,),
        layer=1,
        expert=2,
        value=0.6,
        limit=0.5,
    )
    examined = e.ExpertsExamined(
        step=10,
        conversations=9,
        of_conversations=9,
        tokens=90,
        targets=40,
        examine_s=1.0,
        routed=1.25,
        average=1.5,
        forced=(1.5, None),
        mutual_information=0.2,
        permuted_p99=0.1,
    )
    for event in (*OPENING, step(10), alarm, examined, STOPPED):
        sink(record(event, 2.0))
    assert sink.close()
    told = {name: value for values in wandb.run.logged for name, value in values.items()}
    assert told["moe/alarm/train/dominant"] == 1.0
    assert told["moe/gap"] == 0.25
    assert told["moe/forced_loss/0"] == 1.5
    assert "moe/forced_loss/1" not in told
    assert told["moe/mutual_information"] > told["moe/mutual_information_by_chance"]


def test_a_loss_that_was_not_finite_is_left_out(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    sink(record(step(1, loss=None)))
    sink.close()
    (values,) = wandb.run.logged
    assert "train_loss" not in values
    assert values["learning_rate"] == 2.9e-4


def test_every_attempt_continues_the_same_curves(rundir: RunDir, record: Recorder) -> None:
    ids = []
    for _ in range(2):
        wandb = FakeWandb()
        sink = tracker(rundir, wandb)
        sink(record(step(1)))
        sink.close()
        (options,) = wandb.inits
        assert options["resume"] == "allow"
        assert options["dir"] == str(rundir.path)
        assert options["settings"].console == "off"
        assert options["settings"].save_code is False
        ids.append(options["id"])
    assert ids[0] == ids[1]


def test_a_damaged_id_file_is_replaced(rundir: RunDir) -> None:
    rundir.tracker_json.write_text('{"wandb_id": "../../etc"}')
    made = wandb_run.run_id(rundir)
    assert made.isalnum()
    assert wandb_run.run_id(rundir) == made


@pytest.mark.parametrize(
    ("asked", "environment", "mode"),
    [
        ("online", {"WANDB_API_KEY": "0" * 40}, "online"),
        ("online", {}, "offline"),
        ("offline", {"WANDB_API_KEY": "0" * 40}, "offline"),
        ("online", {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "offline"}, "offline"),
        ("online", {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "disabled"}, "disabled"),
        ("offline", {"WANDB_MODE": "online"}, "offline"),
        ("disabled", {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online"}, "disabled"),
    ],
)
def test_the_quietest_of_file_environment_and_login_decides(asked: str, environment: dict[str, str], mode: str) -> None:
    config = WandbConfig.model_validate({"mode": asked})
    assert wandb_run.mode(config, {"HOME": "/nonexistent", **environment}) == mode


def test_a_netrc_entry_for_the_server_is_a_login(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert not wandb_run.logged_in(home)
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert wandb_run.logged_in(home)
    assert not wandb_run.logged_in({**home, "WANDB_BASE_URL": "https://wandb.example.org"})
    (tmp_path / ".netrc").write_text("machine \x00 nonsense [")
    assert not wandb_run.logged_in(home)


def test_without_a_login_it_says_once_what_to_do(rundir: RunDir, caplog: pytest.LogCaptureFixture) -> None:
    tracker(rundir, FakeWandb(), mode="online")
    assert "wandb login" in caplog.text
    assert "wandb sync" in caplog.text


def test_a_server_that_cannot_be_reached_means_offline(
    rundir: RunDir, record: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    wandb = FakeWandb(fail=("online",))
    sink = tracker(rundir, wandb, mode="online")
    sink(record(step(1)))
    sink.close()
    assert [options["mode"] for options in wandb.inits] == ["online", "offline"]
    assert "no route to host" in caplog.text
    assert wandb.run.logged


def test_disabled_it_starts_no_thread_and_imports_nothing(rundir: RunDir, record: Recorder) -> None:
    def library() -> Any:
        raise AssertionError("imported")

    before = threading.active_count()
    sink = Tracker(rundir, WandbConfig.model_validate({"mode": "disabled"}), library=library)
    sink(record(step(1)))
    assert threading.active_count() == before
    assert sink.close()


def test_its_failure_switches_off_only_itself(bus: Bus, rundir: RunDir) -> None:
    wandb = FakeWandb(fail=("offline",))
    sink = tracker(rundir, wandb)
    bus.subscribe("tracker", sink)
    bus.emit(step(1))
    assert sink._thread is not None
    sink._thread.join(5.0)
    bus.emit(step(2))
    bus.emit(step(3))
    events = [record.event for record in read(rundir.events)]
    assert [event.kind for event in events] == ["step.completed", "step.completed", "sink.disabled", "step.completed"]
    disabled = events[2]
    assert isinstance(disabled, e.SinkDisabled)
    assert (disabled.sink, disabled.error) == ("tracker", "ConnectionError: no route to host")
    assert sink.close()


def test_w_and_b_not_being_installed_is_such_a_failure(bus: Bus, rundir: RunDir) -> None:
    def missing() -> Any:
        raise ModuleNotFoundError("No module named 'wandb'")

    sink = Tracker(rundir, WandbConfig.model_validate({"mode": "offline"}), library=missing)
    bus.subscribe("tracker", sink)
    bus.emit(step(1))
    assert sink._thread is not None
    sink._thread.join(5.0)
    bus.emit(step(2))
    assert "No module named 'wandb'" in str(list(read(rundir.events))[-1].event)


def test_a_server_that_hangs_delays_nobody_and_drops_are_counted(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    wandb.run.blocked = threading.Event()
    sink = tracker(rundir, wandb, max_waiting=5)
    start = time.monotonic()
    for i in range(1, 101):
        sink(record(step(i)))
    assert not sink.close(timeout_s=0.2)
    assert time.monotonic() - start < 5.0
    assert sink.dropped >= 90
    wandb.run.blocked.set()
    assert sink._thread is not None
    sink._thread.join(5.0)
    assert wandb.run.summary["dropped_records"] == sink.dropped


def test_messages_and_failures_never_reach_it(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    for event in (
        *OPENING,
        e.MessageLogged(level="ERROR", logger="x", text="Client: my secret"),
        step(1),
        e.CheckpointCompleted(step=1, path="checkpoint-1", cause=Cause.BEST, bytes=1, save_s=1.0),
    ):
        sink(record(event))
    sink.close()
    assert "secret" not in str((wandb.inits, wandb.run.logged, wandb.run.summary))


REAL = """
import sys
from pathlib import Path
from configs.wandb import WandbConfig
from engine.run.rundir import RunDir
from engine.watch.tracker import Tracker
from states import events as e

run = RunDir(Path(sys.argv[1]))
run.create()
sink = Tracker(run, WandbConfig.model_validate({"project": "therapy", "mode": "offline"}))
assert "wandb" not in sys.modules
for i in range(1, 4):
    sink(e.Record(seq=i, wall=1.8e9 + i, mono=float(i), event=e.StepCompleted(
        step=i, epoch=0.1, loss=2.0, lr=1e-4, grad_norm=1.0, tokens=9, targets=4, step_s=0.1, data_s=0.0)))
print("Therapist: printed by something else", flush=True)
assert sink.close()
print(sink.dropped, sink._failure)
"""


def test_the_real_library_writes_offline_and_keeps_nothing_private(tmp_path: Path) -> None:
    run = tmp_path / "run"
    environment = {**os.environ, "WANDB_API_KEY": "5ec2e7" + "0" * 34, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(run), "--note=argument-of-the-command-line"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1:] == ["0 None"], done.stderr
    assert "wandb" not in done.stdout + done.stderr
    files = [path for path in (run / "wandb").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".wandb" for path in files)
    written = b"".join(path.read_bytes() for path in files)
    assert b"train_loss" in written
    for private in (b"5ec2e7", b"argument-of-the-command-line", b"printed by something else"):
        assert private not in written
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
