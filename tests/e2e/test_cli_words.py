"""How a command line is read: commands found, spellings forgiven, help at once and without a heavy import."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.errors import UsageError
from engine.run.arguments import Grammar, arrange
from run import ORDER

RUN_PY = Path(__file__).resolve().parents[2] / "run.py"
GRAMMAR = Grammar(
    commands=("train", "status"), groups=("config",), flags={"--no-tui", "--json"}, valued={"--hours", "--output-dir"}
)
HELPS = (
    "--help", "-h", "train --help", "status -h", "send --help", "attach --help", "replay --help", "init --help",
    "config", "config --help", "config check --help", "config show --help", "config schema --help", "checkpoint",
    "checkpoint list --help", "checkpoint verify --help", "checkpoint prune --help", "dataset", "dataset --help",
    "dataset analyze --help", "dataset validate --help", "dataset preview --help", "dataset sample --help",
    "dataset convert --help", "--no-tui --help", "--version",
)  # fmt: skip
HELP_CPU_S = 0.5


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", "train"),
        ("--no-tui", "train --no-tui"),
        ("train --no-tui", "train --no-tui"),
        ("--no-tui train --hours 3", "train --no-tui --hours 3"),
        ("--hours 3 train --no-tui", "train --hours 3 --no-tui"),
        ("--hours=3 train", "train --hours=3"),
        ("--output-dir train --no-tui", "train --output-dir train --no-tui"),
        ("--output-dir status", "train --output-dir status"),
        ("--output_dir my_run", "train --output-dir my_run"),
        ("--output_dir=my_run", "train --output-dir=my_run"),
        ("--resume_from_checkpoint auto", "train --resume auto"),
        ("--resume-from-checkpoint=auto", "train --resume=auto"),
        ("status my_run --json", "status my_run --json"),
        ("config check --some_thing", "config check --some-thing"),
        ("config", "config --help"),
        ("--help", "--help"),
        ("--version", "--version"),
        ("--device cuda", "train --device cuda"),
        ("-- --not_an_option", "train -- --not_an_option"),
    ],
)
def test_a_command_line_is_read_as_it_is_meant(typed: str, meant: str) -> None:
    assert arrange(typed.split(), GRAMMAR) == meant.split()


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("statsu", "There is no command `statsu`. Did you mean `status`? The commands are: train, status, config."),
        ("--no-tui data.json", "There is no command `data.json`. The commands are"),
        ("--json status", "--json stands before `status`"),
        ("--json config show", "--json stands before `config`"),
    ],
)
def test_words_that_mean_nothing_are_refused(typed: str, complaint: str) -> None:
    with pytest.raises(UsageError) as refused:
        arrange(typed.split(), GRAMMAR)
    assert complaint in refused.value.message


@pytest.mark.parametrize("words", HELPS)
def test_help_is_an_answer_not_an_error(typed: Callable[..., Any], words: str) -> None:
    said = typed(*words.split())
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("stint 0." if words == "--version" else "Usage: python run.py")
    assert "[[" not in said.out


def test_the_help_lists_commands_in_the_order_of_a_run_and_cuts_no_words(typed: Callable[..., Any]) -> None:
    listed = typed("--help").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    names = [line.split()[0] for line in listed]
    assert names[:5] == ["train", "attach", "status", "send", "replay"]
    assert tuple(names) == ORDER
    assert not [line for line in listed if line.endswith("...")]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import contextlib, io, json, sys, run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    codes = [run.main(words.split()) for words in json.loads(sys.argv[1])]\n"
        "print(json.dumps([codes, sorted(sys.modules)]))\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", program, json.dumps(HELPS)],
        cwd=RUN_PY.parent,
        capture_output=True,
        check=True,
        timeout=60,
    )
    codes, modules = json.loads(asked.stdout)
    assert set(codes) == {0}
    assert not {"torch", "transformers", "peft", "numpy", "textual", "wandb", "configs.schema"} & set(modules)


@pytest.mark.parametrize("words", ["--help", "train --help", "checkpoint list --help"])
def test_help_answers_within_half_a_second_of_processor_time(words: str) -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    subprocess.run([sys.executable, RUN_PY, *words.split()], capture_output=True, check=True, timeout=60)
    assert spent() - before < HELP_CPU_S
