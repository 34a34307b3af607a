"""What a launcher learns of the engine it started: that it stands, or how it died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.run.rundir import EngineInfo, RunDir
from engine.training.spawning import Started, last_words, wait_until_open

ENGINE = """
import os, sys, time
sys.path.insert(0, {root!r})
from engine.run.rundir import EngineInfo, RunDir
run = RunDir({run!r})
with run.hold_lock():
    run.write_engine(EngineInfo(pid=os.getpid(), run_id="r", attempt=2, started_wall=0.0, socket="s", version="0"))
    time.sleep(60)
"""


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def start(rundir: RunDir, code: str, *, words_from: int = 0) -> Started:
    with rundir.engine_out.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=out)
    return Started(process=process, rundir=rundir, words_from=words_from)


def test_an_engine_is_up_when_it_holds_the_run_itself(rundir):
    rundir.events.touch()
    started = start(rundir, ENGINE.format(root=str(Path(__file__).parents[2]), run=str(rundir.path)))
    try:
        assert wait_until_open(started) == 0
        assert last_words(started) is None
    finally:
        started.process.kill()
        started.process.wait()
    assert "memory ran out" in last_words(started)


def test_another_engine_in_the_same_run_is_not_the_one_that_was_started(rundir):
    rundir.events.touch()
    card = EngineInfo(pid=os.getpid(), run_id="r", attempt=1, started_wall=0.0, socket="s", version="0")
    with rundir.hold_lock():
        rundir.write_engine(card)
        started = start(rundir, "import sys; sys.exit('an engine is already training here')")
        assert wait_until_open(started) == 1
    assert last_words(started) == "an engine is already training here"


def test_last_words_are_of_this_attempt_and_say_which_signal_it_was(rundir):
    rundir.engine_out.write_text("the attempt before\n")
    before = rundir.engine_out.stat().st_size
    silent = start(rundir, "pass", words_from=before)
    silent.process.wait()
    assert last_words(silent) == "The engine ended with exit code 0 and said nothing."
    broken = start(rundir, "import os; print('tensor', flush=True); os.abort()", words_from=before)
    broken.process.wait()
    assert last_words(broken).splitlines()[:2] == ["The engine was ended by SIGABRT.", "tensor"]
