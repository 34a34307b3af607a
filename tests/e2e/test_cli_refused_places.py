"""Places that cannot or must not be written: one clear paragraph, and everything there as it was."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.run.rundir import RunDir
from tests.e2e.refusing import USAGE, Refused, tree


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that is mounted read-only: one of our own where that is allowed, else one that is there."""
    own = tmp_path / "read-only"
    own.mkdir()
    if shutil.which("mount") and not subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", own]).returncode:
        yield own
        subprocess.run(["umount", own], check=True)
        return
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, _, options, *_ = line.split()
        if "ro" in options.split(",") and Path(place).is_dir() and not place.startswith("/proc"):
            yield Path(place)
            return
    pytest.skip("no file system is mounted read-only here, and none can be")


def test_a_place_where_no_directory_can_be_made_is_refused(refused: Refused, config: Path, here: Path) -> None:
    (here / "file").touch()
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").touch()
    start = ("--no-tui", "--config", config, "--output-dir")
    assert "is a file. Name a directory" in refused(*start, "file", code=USAGE)
    assert f"{here / 'file'} is a file. Name a directory" in refused(*start, "file/below/it", code=USAGE)
    assert "holds other files (thesis.txt) and no run. Name" in refused(*start, "full", code=USAGE)
    assert "a name in it is longer than 255 bytes" in refused(*start, "new/" + "n" * 300, code=USAGE)
    for kernel in ("/sys/stint/run", "/proc/stint"):
        assert "--output-dir" in refused(*start, kernel, code=USAGE)


def test_a_read_only_file_system_is_refused(refused: Refused, config: Path, read_only: Path) -> None:
    for directory in (read_only / "run", read_only / "deep" / "run"):
        told = refused("--no-tui", "--config", config, "--output-dir", directory, code=USAGE)
        assert f"{read_only} is read-only for you. Name another place" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_refused(refused: Refused, config: Path, here: Path) -> None:
    (here / "theirs").mkdir(mode=0o555)
    told = refused("--no-tui", "--config", config, "--output-dir", "theirs/run", code=USAGE)
    assert "is read-only for you" in told


def test_somebody_elses_journal_is_left_alone(refused: Refused, config: Path, here: Path) -> None:
    (here / "web").mkdir()
    (here / "web" / "events.jsonl").write_text('{"click": 1}\n')
    told = refused("--no-tui", "--config", config, "--output-dir", "web", code=USAGE)
    assert "events.jsonl is not the journal of a run" in told


def test_a_finished_run_is_not_written_over_and_needs_no_resume(
    refused: Refused, typed: Callable[..., Any], finished_run: Path
) -> None:
    start = ("--no-tui", "--config", finished_run.parent / "config")
    told = refused(*start, code=USAGE)
    assert "holds a finished run. Give --output-dir" in told
    assert f"`python run.py attach {finished_run}` shows" in told
    before = tree(finished_run)
    for words in ((*start, "--resume", "auto"), (*start, "--resume", finished_run / "checkpoint-22")):
        said = typed(*words)
        assert (said.code, said.err) == (0, "")
        assert said.out == f"The run in {finished_run} is finished: nothing to resume.\n"
    assert tree(finished_run) == before


@pytest.fixture
def unfinished(finished_run: Path, here: Path) -> Path:
    """The finished run as it would stand if its engine had been killed before Finalize."""
    run = here / "lost"
    shutil.copytree(finished_run, run)
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if '"new":"finalize"' in line)
    (run / "events.jsonl").write_text("".join(lines[:end]))
    return run


def test_a_live_run_is_left_alone(refused: Refused, finished_run: Path, unfinished: Path) -> None:
    start = ("--no-tui", "--config", finished_run.parent / "config", "--output-dir", unfinished)
    with RunDir(unfinished).hold_lock():
        for more in ((), ("--resume", "auto"), ("--resume", unfinished / "checkpoint-20"), ("--detach",)):
            words = tuple(word for word in start if not (more == ("--detach",) and word == "--no-tui"))
            told = refused(*words, *more, code=USAGE)
            assert re.search(
                r"A run is going on in .* \(process \d+\)\. `python run.py attach .*another --output-dir", told
            )


def test_only_a_whole_checkpoint_inside_a_run_can_be_resumed(
    refused: Refused, unfinished: Path, tiny_base: Path
) -> None:
    with (unfinished / "checkpoint-18" / "optimizer.safetensors").open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\x00\xff")
    (unfinished / "checkpoint-9").mkdir()
    told = refused("--no-tui", "--resume", unfinished / "checkpoint-18", code=USAGE)
    assert "optimizer.safetensors is damaged" in told
    assert "`--resume auto` takes the newest one that verifies" in told
    assert "MANIFEST.json: it is missing" in refused("--no-tui", "--resume", "lost/checkpoint-9", code=USAGE)
    assert "is not a directory. Give `auto`" in refused("--no-tui", "--resume", "lost/checkpoint-7", code=USAGE)
    assert "is not a directory. Give `auto`" in refused("--no-tui", "--resume", "", code=USAGE)
    assert "is a run, not a checkpoint. `--resume auto --output-dir" in refused(
        "--no-tui", "--resume", "lost", code=USAGE
    )
    assert "is no checkpoint of a run" in refused("--no-tui", "--resume", tiny_base, code=USAGE)


def test_resume_auto_with_nothing_there_is_refused(refused: Refused, config: Path) -> None:
    told = refused("--no-tui", "--config", config, "--resume", "auto", code=USAGE)
    assert "There is nothing to resume in" in told
    assert "leave --resume out to start one" in told


def test_another_configuration_does_not_take_over_an_unfinished_run(
    refused: Refused, finished_run: Path, unfinished: Path
) -> None:
    start = ("--no-tui", "--config", finished_run.parent / "config", "--output-dir", unfinished)
    told = refused(*start, "--set", "learning_rate=1e-4", code=USAGE)
    assert "holds an unfinished run with a different configuration. `--resume auto` goes on" in told


def test_a_window_that_has_closed_needs_a_new_one(
    refused: Refused, finished_run: Path, unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = time.time() + 2 * 3600
    monkeypatch.setattr(time, "time", lambda: soon)
    start = ("--no-tui", "--config", finished_run.parent / "config", "--output-dir", unfinished, "--resume", "auto")
    told = refused(*start, code=USAGE)
    assert re.search(r"window of this run ended at .*: a resume after it needs a new one\. Give --hours H", told)
    assert "has passed" in refused(*start, "--deadline", "2020-01-01", code=USAGE)


def test_init_writes_over_nothing(refused: Refused, here: Path) -> None:
    (here / "safety_config.json").write_text("{}")
    assert "safety_config.json already there" in refused("init", code=USAGE)
