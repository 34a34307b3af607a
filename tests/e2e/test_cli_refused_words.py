"""Wrong command lines: what is right, in this process and in one of its own, and nothing that drives a terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.refusing import DATA, RUN_PY, USAGE, Refused, tree

TYPED: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown option": (("--no-tui", "--bogus"), r"No such option: --bogus.*`python run\.py train --help`"),
    "unknown option with a value": (("--no-tui", "--device", "cuda"), r"No such option: --device"),
    "unknown command": (("trian",), r"There is no command `trian`\. Did you mean `train`\? The commands are: train,"),
    "unknown command of a group": (("config", "chek"), r"No such command 'chek'.*`python run\.py config --help`"),
    "something after the options": (("--no-tui", "data.json"), r"There is no command `data\.json`"),
    "options before another command": (("--json", "status"), r"--json stands before `status`.*Write `status` first"),
    "option without its value": (("--no-tui", "--hours"), r"'--hours' requires an argument"),
    "foreground and detached": (("--detach", "--json"), r"--json trains in the foreground and --detach does not"),
    "replay of nothing": (("replay",), r"Missing argument 'EVENTS'"),
    "replay of a missing file": (("replay", "no.jsonl", "--no-tui"), r"There is no journal at no\.jsonl: give the eve"),
    "replay of an empty directory": (("replay", "empty", "--no-tui"), r"no journal at empty/events\.jsonl"),
    "replay of a text": (("replay", "text", "--no-tui"), r"text is not the journal of a run: it does not begin with"),
    "replay of an empty file": (("replay", "nothing", "--no-tui"), r"nothing is not the journal of a run"),
    "attach to nothing": (("attach",), r"stint-demo: no run is here"),
    "status of nothing": (("status",), r"no run is here \(it has no events\.jsonl\)\. Name the directory of a run"),
    "status of an empty directory": (("status", "empty", "--json"), r"empty: no run is here"),
    "send to nothing": (("send", "pause", "empty"), r"empty: no run is here"),
    "send of an unknown command": (("send", "stop"), r"stop is no command\. The commands are: checkpoint, evaluate"),
    "checkpoints of nothing": (("checkpoint", "list"), r"no run is here"),
    "checkpoints of an empty directory": (("checkpoint", "list", "empty"), r"empty has no checkpoints yet"),
    "verify of a missing directory": (("checkpoint", "verify", "gone"), r"There is no directory gone\. Name a checkpo"),
    "check of a missing directory": (("config", "check", "gone"), r"gone is not a directory"),
    "schema of an unknown file": (("config", "schema", "x.json"), r"none of the configuration files\. They are:"),
    "init in a place that cannot be": (("init", "text/below"), r"cannot be written: Not a directory\. Name another"),
}


@pytest.mark.parametrize(("words", "complaint"), TYPED.values(), ids=TYPED)
def test_a_wrong_command_line_says_what_is_right(
    refused: Refused, here: Path, words: tuple[str, ...], complaint: str
) -> None:
    (here / "empty").mkdir()
    (here / "text").write_text("once upon a time\n")
    (here / "nothing").touch()
    assert re.search(complaint, refused(*words, code=USAGE))


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ("--no-tui --config {config} --dataset gone.json", DATA, "There is no data set at"),
        ("--config {config} --hours 0 --detach", USAGE, "must be greater than 0"),
        ("--json --config {config} --resume auto", USAGE, "There is nothing to resume in"),
        ("--config {config} --output-dir {config}", USAGE, "holds other files (moe_training_config.json, "),
        ("trian", USAGE, "Did you mean `train`?"),
    ],
)
def test_a_process_of_its_own_refuses_alike(here: Path, config: Path, words: str, code: int, complaint: str) -> None:
    typed = [sys.executable, str(RUN_PY), *words.format(config=config).split()]
    before = tree(here.parent)
    said = subprocess.run(typed, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert (said.returncode, said.stdout) == (code, "")
    assert said.stderr.startswith("stint: ")
    assert said.stderr.count("\n") == 1
    assert complaint in said.stderr
    assert tree(here.parent) == before


def test_attach_without_a_terminal_points_at_status(
    refused: Refused, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    told = refused("attach", finished_run, code=USAGE)
    assert f"needs a terminal. `python run.py status {finished_run}`" in told


def test_a_refusal_quotes_nothing_that_drives_the_terminal(refused: Refused, config: Path) -> None:
    nasty = "\x1b[2Jhidden\u202e.json"
    for words in (("--config", config, "--dataset", nasty), ("--config", nasty), (nasty,), ("--resume", nasty)):
        told = refused("--no-tui", *words, code=USAGE)
        assert "hidden" in told
        assert "\x1b" not in told
        assert "\u202e" not in told
