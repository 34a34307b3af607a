"""A base that is still on the hub: its size is known first, its disk is looked at, its arrival is told."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.utils import filter_repo_objects

from engine.model.download import download, look_up
from engine.training.check import run_check
from engine.training.choose import Choice
from states.events import MessageLogged, RunFailed, TaskProgressed, TaskStarted
from states.phases import ExitCode

pytestmark = pytest.mark.usefixtures("unsynced")

NAME = "someone/tiny-mistral"
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves one base the way the hub's client leaves it in its cache, in pieces that take a moment each."""

    def __init__(self, cache: Path, base: Path) -> None:
        self.cache = cache
        self.base = base
        self.pause_s = 0.0
        self.served = 0
        self.error: Exception | None = None
        self.revision = REVISION
        self.scale = 1

    def __call__(
        self,
        name: str,
        *,
        allow_patterns: list[str],
        ignore_patterns: list[str],
        dry_run: bool = False,
        **_: object,
    ) -> object:
        assert name == NAME
        assert not any(pattern in ("*", "*.bin", "*.py") for pattern in allow_patterns)
        names = [path.relative_to(self.base).as_posix() for path in sorted(self.base.rglob("*")) if path.is_file()]
        files = [
            self.base / name
            for name in filter_repo_objects(names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        ]
        if dry_run:
            return [
                SimpleNamespace(commit_hash=REVISION, file_size=path.stat().st_size * self.scale, will_download=True)
                for path in files
            ]
        if self.error is not None:
            raise self.error
        self.served += 1
        home = self.cache / f"models--{NAME.replace('/', '--')}"
        folder = home / "snapshots" / self.revision
        folder.mkdir(parents=True)
        (home / "blobs").mkdir()
        for path in files:
            time.sleep(self.pause_s)
            shutil.copy(path, home / "blobs" / path.name)
            shutil.copy(path, folder / path.name)
        return str(folder)


@pytest.fixture
def hub(tmp_path, tiny_base, monkeypatch) -> Hub:
    made = Hub(tmp_path / "hub", tiny_base)
    monkeypatch.setattr("huggingface_hub.snapshot_download", made)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("engine.model.resolve._reachable", lambda *_: True)
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return made


def test_a_run_brings_its_base_and_says_how_far_it_is(bench, hub, monkeypatch):
    monkeypatch.setattr("engine.model.download.POLL_S", 0.05)
    monkeypatch.setattr("engine.training.session.PROGRESS_INTERVAL_S", 0.0)
    monkeypatch.setattr("engine.training.preparing.MB", 1000)
    hub.pause_s = 0.1
    few = ("training.num_train_epochs=1", "training.per_device_train_batch_size=16")
    assert bench.go(base_model=NAME, overrides=few) == ExitCode.FINISHED
    assert hub.served == 1
    (started,) = [event for event in bench.events(TaskStarted) if event.task == "download base model"]
    assert started.detail.startswith(f"{NAME} at revision {REVISION[:12]}, ")
    told = [event.done for event in bench.events(TaskProgressed) if event.task == "download base model"]
    assert told == sorted(told)
    assert len(told) > 2
    assert 0 < told[-1] <= started.total
    assert any(f"at revision {REVISION}" in event.text for event in bench.events(MessageLogged))


def test_a_disk_without_room_is_refused_before_a_byte_is_fetched(bench, hub):
    hub.scale = 10**12
    assert bench.go(base_model=NAME) == ExitCode.USAGE
    (failed,) = bench.events(RunFailed)
    assert "takes" in failed.message
    assert "HF_HOME" in failed.message
    assert hub.served == 0


@pytest.mark.parametrize("fault", ["network", "moved"])
def test_a_download_that_fails_is_one_paragraph(bench, hub, fault):
    if fault == "network":
        hub.error = OSError("connection reset by peer")
    else:
        hub.revision = "f" * 40
    assert bench.go(base_model=NAME) == ExitCode.USAGE
    (failed,) = bench.events(RunFailed)
    assert failed.traceback == ""
    assert ("connection reset" if fault == "network" else "changed on the hub") in failed.message


def test_a_second_copy_of_the_weights_is_neither_counted_nor_fetched(hub, tiny_base, tmp_path):
    size = look_up(NAME).total
    hub.base = Path(shutil.copytree(tiny_base, tmp_path / "twice"))
    (hub.base / "original").mkdir()
    for copy in ("consolidated.safetensors", "original/model.safetensors"):
        shutil.copy(hub.base / "model.safetensors", hub.base / copy)
    remote = look_up(NAME)
    assert remote.total == size
    assert [path.name for path in download(remote, lambda _: None).rglob("*.safetensors")] == ["model.safetensors"]


def test_a_check_tells_the_size_and_downloads_nothing(configured, hub):
    table = run_check(Choice(config=configured(), base_model=NAME))
    assert table.code == ExitCode.FINISHED
    (row,) = [row for row in table.rows if row.name == "base model"]
    assert row.verdict == "skip"
    assert "must be downloaded" in row.text
    assert hub.served == 0
    hub.scale = 10**12
    table = run_check(Choice(config=configured(), base_model=NAME))
    assert table.code == ExitCode.USAGE


def test_leaving_does_not_wait_for_the_download(hub):
    hub.pause_s = 5.0
    remote = look_up(NAME)

    class Left(BaseException):
        """What a cancelled task raises."""

    def leave(_: int) -> None:
        raise Left

    began = time.monotonic()
    with pytest.raises(Left):
        download(remote, leave)
    assert time.monotonic() - began < 3.0
    hub.pause_s = 0.0
