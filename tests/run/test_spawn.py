"""A spawned engine belongs to no terminal."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from pathlib import Path

import pytest

from engine.run.rundir import RunDir
from engine.run.spawn import PROGRAM, engine_environment, spawn

ROOT = Path(__file__).resolve().parents[2]
CHILD = "import os, sys, time; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', os.environ['GOMP_SPINCOUNT'])"


def test_it_has_its_own_session_no_input_and_its_output_in_the_run_directory(rundir: RunDir) -> None:
    rundir.engine_out.write_text("from the attempt before\n")
    engine = spawn(["extra"], rundir, program=[sys.executable, "-c", CHILD])
    assert engine.wait(timeout=20) == 0
    assert rundir.engine_out.read_text() == "from the attempt before\nTrue True 10000\n"
    assert engine.args == [sys.executable, "-c", CHILD, "extra"]


def test_what_the_user_set_for_openmp_stays() -> None:
    environment = engine_environment({"OMP_WAIT_POLICY": "active", "HOME": "/home/me"})
    assert environment["OMP_WAIT_POLICY"] == "active"
    assert environment["GOMP_SPINCOUNT"] == "10000"
    assert environment["HOME"] == "/home/me"


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_the_allocator_grows_its_segments_unless_the_user_says_otherwise(name: str) -> None:
    assert engine_environment({})["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert engine_environment({name: "max_split_size_mb:64"}).keys() & {
        "PYTORCH_ALLOC_CONF",
        "PYTORCH_CUDA_ALLOC_CONF",
    } == {name}


def test_the_program_it_starts_is_the_one_beside_the_packages() -> None:
    assert PROGRAM == ROOT / "run.py"


def test_it_goes_on_when_the_terminal_of_its_launcher_is_closed(rundir: RunDir) -> None:
    child = "import time; print('up', flush=True); time.sleep(1.0); print('finished', flush=True)"
    launcher = (
        "import sys, time\n"
        "from engine.run.rundir import RunDir\n"
        "from engine.run.spawn import spawn\n"
        f"child = spawn([], RunDir(sys.argv[1]), program=[sys.executable, '-c', {child!r}])\n"
        "print('spawned', flush=True)\n"
        "time.sleep(60)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored, and inherited, where the tests run under nohup
        os.execv(sys.executable, [sys.executable, "-c", launcher, str(rundir.path)])
    said = b""
    while b"spawned" not in said:
        said += os.read(terminal, 1000)
    end = time.monotonic() + 10
    while "up" not in rundir.engine_out.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGHUP, "the launcher itself is gone"
    while "finished" not in rundir.engine_out.read_text() and time.monotonic() < end:
        time.sleep(0.05)
    assert rundir.engine_out.read_text() == "up\nfinished\n"


@pytest.mark.parametrize("missing", ["nowhere"])
def test_without_a_run_directory_nothing_is_started(tmp_path: Path, missing: str) -> None:
    with pytest.raises(FileNotFoundError):
        spawn([], RunDir(tmp_path / missing), program=[sys.executable, "-c", CHILD])
