"""What a run leaves and prints: exactly the files of the design, records for scripts, no complaint to a pipe."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from engine.run.journal import read
from states.codec import decode
from states.events import LogOpened, RunStopped

RUN_PY = Path(__file__).resolve().parents[2] / "run.py"
CHECKPOINT = {
    "MANIFEST.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    "moe_layers.safetensors",
    "optimizer.safetensors",
    "trainer_state.json",
}
BEST_MODEL = {
    "MANIFEST.json",
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "model_info.json",
    "moe_layers.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}
RUN = {
    "config.resolved.json",
    "engine.json",
    "engine.lock",
    "events.jsonl",
    "training.log",
    "training_optimization_report.json",
    "report.json",
    "training_report.html",
    "training_report.pdf",
}
NOISY = """
import os, sys
import engine.training.loop as loop
import run

train = loop.train

def noisy(session):
    print("a library prints", flush=True)
    os.write(1, b"a library writes past Python\\n")
    return train(session)

loop.train = noisy
sys.exit(run.main(sys.argv[1:]))
"""


def test_a_finished_run_holds_the_best_model_its_checkpoints_and_its_story_and_nothing_else(finished_run: Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    checkpoints = {name for name in names if re.fullmatch(r"checkpoint-\d+", name)}
    assert names - checkpoints == BEST_MODEL | RUN
    assert len(checkpoints) == 5, "save_total_limit"
    for name in checkpoints:
        assert {path.name for path in (finished_run / name).iterdir()} == CHECKPOINT


def test_everything_of_a_run_belongs_to_its_owner_alone(finished_run: Path) -> None:
    for path in (finished_run, *finished_run.rglob("*")):
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_json_is_the_journal_on_stdout_and_libraries_are_kept_off_it(
    configured: Callable[..., Path], tmp_path: Path
) -> None:
    config = configured(num_train_epochs=1, safety={"on_finish": ["echo", "a command prints"]})
    said = subprocess.run(
        [sys.executable, "-c", NOISY, "--json", "--config", config],
        cwd=RUN_PY.parent,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr.decode()
    records = [decode(line) for line in said.stdout.splitlines(keepends=True)]
    assert [record.seq for record in records] == list(range(len(records)))
    assert isinstance(records[0].event, LogOpened)
    assert isinstance(records[-1].event, RunStopped)
    assert said.stdout == (tmp_path / "run" / "events.jsonl").read_bytes()
    assert records == list(read(tmp_path / "run" / "events.jsonl"))
    for noise in ("a library prints", "a library writes past Python", "a command prints"):
        assert noise in said.stderr.decode()


@pytest.mark.parametrize(
    "start", ["{python} {run} {rest} | cat", "TERM=dumb {python} {run} {rest}"], ids=["pipe", "dumb"]
)
def test_without_a_screen_a_bare_start_prints_plain_lines(
    configured: Callable[..., Path], tmp_path: Path, start: str
) -> None:
    config = configured(num_train_epochs=1)
    line = start.format(python=sys.executable, run=RUN_PY, rest=f"--config {config}")
    terminal = pexpect.spawn("/bin/sh", ["-c", line], encoding="utf-8", timeout=120, dimensions=(24, 200))
    terminal.expect(pexpect.EOF)
    printed = terminal.before
    terminal.close()
    assert "\x1b" not in printed
    assert "Phase: finalize -> stopped" in printed
    assert printed.rstrip().endswith("exit code 0")
    assert not (tmp_path / "run" / "engine.out").exists(), "it trained in the foreground"


@pytest.mark.parametrize(
    "command", ["status {run}", "replay {run} --no-tui", "config schema", "config show", "checkpoint list {run}", "-h"]
)
def test_a_reader_that_has_seen_enough_is_no_error(finished_run: Path, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run(
        [sys.executable, RUN_PY, *command.format(run=finished_run).split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert said.stderr == b""
    assert said.returncode in (0, 1)


def test_a_full_disk_behind_stdout_is_one_sentence(finished_run: Path) -> None:
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [sys.executable, RUN_PY, "status", finished_run],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert said.returncode == 1
    assert said.stderr.decode() == "stint: No space left on device. --debug shows what was being done.\n"


def test_a_defect_is_one_sentence_and_debug_adds_its_traceback(
    typed: Callable[..., Any], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("engine.run.commands.look", broken)
    said = typed("status", finished_run)
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "stint: A defect of Stint: ZeroDivisionError: by zero. Please report it, with what --debug shows.\n"
    )
    said = typed("status", finished_run, "--debug")
    assert said.code == 1
    assert said.err.startswith("Traceback")
    assert said.err.count("stint: ") == 1


def test_an_interrupted_command_leaves_with_130(
    typed: Callable[..., Any], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.run.commands.look", interrupted)
    said = typed("status", finished_run)
    assert (said.code, said.out, said.err) == (130, "", "")
