"""A run directory is private, knows its checkpoints, and is locked by a living engine only."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from configs.errors import UsageError
from engine.run.rundir import EngineInfo, RunBusy, RunDir, write_json

ROOT = Path(__file__).resolve().parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_and_what_is_written_in_it_are_private(rundir: RunDir) -> None:
    write_json(rundir.plan_report, {"hours": 12})
    (rundir.path / "plain.txt").write_text("made by anything in this process")
    assert mode(rundir.path) == 0o700
    assert mode(rundir.plan_report) == 0o600
    assert mode(rundir.path / "plain.txt") == 0o600


def test_an_existing_directory_becomes_private_too(tmp_path: Path, rundir: RunDir) -> None:
    tmp_path.joinpath("open").mkdir(mode=0o755)
    RunDir(tmp_path / "open").create()
    assert mode(tmp_path / "open") == 0o700


def test_a_file_in_its_place_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    before = os.umask(0o077)
    with pytest.raises(UsageError, match=r"taken.*--output-dir"):
        RunDir(tmp_path / "taken").create()
    os.umask(before)


def test_checkpoints_are_listed_by_step_and_staged_ones_are_none(rundir: RunDir) -> None:
    for name in ("checkpoint-1000", "checkpoint-90", "checkpoint-500", ".tmp-checkpoint-7", "checkpoint-x"):
        (rundir.path / name).mkdir()
    (rundir.path / "checkpoint-3").write_text("a file")
    (rundir.path / "checkpoint-4").symlink_to(rundir.path / "checkpoint-90")
    assert [path.name for path in rundir.checkpoints()] == ["checkpoint-90", "checkpoint-500", "checkpoint-1000"]


def test_a_run_that_does_not_exist_is_not_live_and_has_no_checkpoints(tmp_path: Path) -> None:
    nothing = RunDir(tmp_path / "nothing")
    assert not nothing.is_live()
    assert nothing.checkpoints() == []
    assert nothing.read_engine() is None


def test_the_lock_says_live_while_it_is_held_and_refuses_a_second_engine(rundir: RunDir) -> None:
    rundir.write_engine(EngineInfo(pid=4321, run_id="r", attempt=1, started_wall=0.0, socket="", version="0"))
    assert not rundir.is_live()
    with rundir.hold_lock():
        assert rundir.is_live()
        with pytest.raises(RunBusy, match=r"4321.*attach"), rundir.hold_lock():
            pass
    assert not rundir.is_live()


def test_being_probed_all_the_time_never_makes_a_start_fail(rundir: RunDir) -> None:
    with rundir.hold_lock():
        pass
    stop = threading.Event()

    def probe() -> None:
        while not stop.is_set():
            rundir.is_live()

    probing = threading.Thread(target=probe)
    probing.start()
    try:
        for _ in range(50):
            with rundir.hold_lock():
                pass
    finally:
        stop.set()
        probing.join()


def test_of_several_starts_at_a_time_exactly_one_wins(rundir: RunDir) -> None:
    won, release = [], threading.Event()

    def start() -> None:
        try:
            with rundir.hold_lock():
                won.append(True)
                release.wait()
        except RunBusy:
            pass

    starts = [threading.Thread(target=start) for _ in range(20)]
    for thread in starts:
        thread.start()
    for thread in starts[:]:
        thread.join(timeout=1.0)
    release.set()
    for thread in starts:
        thread.join()
    assert len(won) == 1


def test_an_engine_killed_outright_is_no_longer_live(rundir: RunDir) -> None:
    script = (
        "import sys, time\n"
        "from engine.run.rundir import RunDir\n"
        "with RunDir(sys.argv[1]).hold_lock():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(rundir.path)], stdout=subprocess.PIPE, cwd=ROOT) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == b"held\n"
        assert rundir.is_live()
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        assert not rundir.is_live()


def test_a_program_started_by_the_engine_does_not_keep_its_lock(rundir: RunDir) -> None:
    with rundir.hold_lock():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        # The kernel closes the child's copy in the middle of exec, which may end just after Popen returns.
        end = time.monotonic() + 5.0
        while rundir.is_live() and time.monotonic() < end:
            time.sleep(0.01)
        assert not rundir.is_live()
    finally:
        child.communicate(b"\n")


def test_the_engine_card_comes_back_as_written(rundir: RunDir, engine_info: EngineInfo) -> None:
    rundir.write_engine(engine_info)
    assert rundir.read_engine() == engine_info


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"pid": "x"}', b"\xff\xfe"])
def test_an_unreadable_engine_card_is_no_card(rundir: RunDir, body: bytes) -> None:
    rundir.engine_json.write_bytes(body)
    assert rundir.read_engine() is None


def test_a_failed_write_leaves_the_old_file_and_no_rest(rundir: RunDir) -> None:
    write_json(rundir.plan_report, {"hours": 12})
    with pytest.raises(TypeError):
        write_json(rundir.plan_report, {"hours": object()})
    assert rundir.plan_report.read_bytes() == b'{\n  "hours": 12\n}\n'
    assert [path.name for path in rundir.path.iterdir()] == [rundir.plan_report.name]


@pytest.mark.parametrize(
    "module",
    ["rundir", "journal", "follower", "bus", "control", "client", "spawn", "signals", "inbox", "status", "commands"],
)
def test_nothing_in_engine_run_brings_in_torch_or_the_screen(module: str) -> None:
    script = (
        f"import engine.run.{module}, sys\n"
        "heavy = {'torch', 'transformers', 'peft', 'pydantic', 'textual', 'wandb', 'psutil', 'pynvml'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
