"""Whether W&B is online, offline or off: what was asked, what the machine knows, and what the server says."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from configs.wandb import WandbConfig
from engine.run.rundir import RunDir
from engine.watch import wandb_run
from engine.watch.tracker import Tracker
from tests.watch.fake_wandb import FakeWandb, tracker

from .conftest import Recorder, step

pytestmark = pytest.mark.usefixtures("nobody")


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
