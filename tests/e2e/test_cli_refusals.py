"""Bad input as people type it: one clear paragraph on stderr, the documented exit code, and nothing made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from engine.run.rundir import RunDir

RUN_PY = Path(__file__).resolve().parents[2] / "run.py"
USAGE, DATA = 2, 3
THERAPY = {"text": "Client: I cannot sleep.\nTherapist: What keeps you awake?"}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below with its time and size: equal twice means that nothing was made, changed or removed."""
    found = (path for path in folder.rglob("*") if not path.is_socket())
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in found}


Refused = Callable[..., str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refused(typed: Callable[..., Any], tmp_path: Path, here: Path) -> Refused:
    """Type something that must be refused; the paragraph it got."""

    def type_in(*words: object, code: int) -> str:
        before = tree(tmp_path)
        said = typed(*words)
        assert said.code == code, said.err
        assert said.out == ""
        assert re.fullmatch(r"stint: [^\n]+[.`?]\n", said.err), "one paragraph, and a whole sentence"
        assert "Traceback" not in said.err
        assert tree(tmp_path) == before
        return said.err

    return type_in


@pytest.fixture
def config(configured: Callable[..., Path]) -> Path:
    return configured()


DATASETS: dict[str, tuple[str | bytes | None, str]] = {
    "missing": (None, r"There is no data set at .*/bad\.json\. Correct --dataset"),
    "empty": ("", r"bad\.json is empty; expected"),
    "blank": (" \n\n", r"bad\.json is empty; expected"),
    "no conversations": ('{"conversations": []}', r"bad\.json holds no conversations: the list is empty; expected"),
    "not JSON": ('{"conversations": [\n  {"text": oops}]}', r"bad\.json:2:12: not valid JSON: .*; expected"),
    "cut off": ('{"conversations": [{"text": "Client', r"bad\.json:1:\d+: not valid JSON"),
    "a number": ("42", r"bad\.json holds a number; expected"),
    "other keys": ('{"rows": [1], "meta": 2}', r'has no "conversations" \(keys found: rows, meta\); expected'),
    "rows that are no objects": ('{"conversations": [1, 2]}', r"row 1: it is a number, expected an object"),
    "a row without text": ('{"conversations": [{"txt": "Client: hi"}]}', r"row 1: "),
    "labels nobody knows": ('[{"text": "just words"}]', r'row 1: its text has no "Therapist:" or "Client:" label'),
    "100,000 brackets": ("[" * 100_000 + "]" * 100_000, r"bad\.json:1:\d+: brackets are nested more than 1,000 deep"),
    "100,000 brackets inside": (
        '{"conversations": ' + "[" * 100_000 + "]" * 100_000 + "}",
        r"bad\.json:1:\d+: brackets are nested more than 1,000 deep",
    ),
    "no therapist turn": ('[{"text": "Client: hello\\nClient: anybody?"}]', r"has a therapist turn.*nothing to learn"),
    "invalid UTF-8": (b'[{"text":\n "Client: \xff"}]', r"bad\.json:2:11: not UTF-8 text \(byte 20 is 0xff\); save"),
    "UTF-16": ('[{"text": "Client: hi"}]'.encode("utf-16"), r"is UTF-16 text; save it as UTF-8"),
    "an archive": (b"PK\x03\x04rest", r"is a zip archive; unpack it first"),
}


@pytest.mark.parametrize(("content", "complaint"), DATASETS.values(), ids=DATASETS)
def test_a_bad_dataset_is_named_with_its_place(
    refused: Refused, config: Path, here: Path, content: str | bytes | None, complaint: str
) -> None:
    if content is not None:
        (here / "bad.json").write_bytes(content.encode() if isinstance(content, str) else content)
    assert re.search(complaint, refused("--no-tui", "--config", config, "--dataset", "bad.json", code=DATA))


def test_what_cannot_be_a_dataset_is_not_opened(refused: Refused, config: Path, here: Path) -> None:
    os.mkfifo(here / "pipe.json")
    assert "is a folder" in refused("--no-tui", "--config", config, "--dataset", "..", code=DATA)
    for path in ("pipe.json", "/dev/zero"):
        assert "is not a regular file" in refused("--no-tui", "--config", config, "--dataset", path, code=DATA)
    assert "There is no data set" in refused("--no-tui", "--validation", "nowhere/v.json", code=DATA)


def test_a_misspelled_dataset_is_guessed_and_two_short_names_are_not(refused: Refused, here: Path) -> None:
    (here / "counsel.json").write_text("{}")
    (here / "nil.json").write_text("{}")
    assert f"(did you mean {here / 'counsel.json'}?)" in refused("--no-tui", "--dataset", "councel.json", code=DATA)
    assert "did you mean" not in refused("--no-tui", "--dataset", "missing.json", code=DATA)


CONFIGURED: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "unknown key in a file": (
        {"training_config.json": '{\n  "base_model": "b", "dataset": "d",\n  "colour": 1\n}'},
        (),
        r"conf/training_config\.json:3:3: unknown key `colour`",
    ),
    "misspelled key in a file": (
        {"training_config.json": '{"base_model": "b", "dataset": "d", "learning_rte": 1}'},
        (),
        r"conf/training_config\.json:1:37: unknown key `learning_rte`\. Did you mean `learning_rate`\?",
    ),
    "misspelled key in a sibling": (
        {"safety_config.json": '{"checkpoint_intervall_minutes": 5}'},
        (),
        r"conf/safety_config\.json:1:2: unknown key .* Did you mean `checkpoint_interval_minutes`\?",
    ),
    "misspelled key on the line": ({}, ("--set", "learning_rte=1"), r"--set learning_rte: .* Did you mean `learning_r"),
    "key of no section": ({}, ("--set", "trainin.seed=1"), r"--set trainin\.seed"),
    "no value on the line": ({}, ("--set", "seed"), r"--set seed: write it as key=value"),
    "negative learning rate": (
        {"training_config.json": '{"base_model": "b", "dataset": "d", "learning_rate": -1e-4}'},
        (),
        r"training_config\.json:1:54: `learning_rate` must be greater than 0, not -0\.0001",
    ),
    "negative learning rate on the line": ({}, ("--set", "learning_rate=-1"), r"--set learning_rate: .*greater than 0"),
    "text for a number": ({}, ("--set", "learning_rate=fast"), r"must be a number, not the text \"fast\""),
    "zero hours in a file": (
        {"training_config.json": '{"base_model": "b", "dataset": "d", "max_training_hours": 0}'},
        (),
        r"training_config\.json:1:59: `max_training_hours` must be greater than 0",
    ),
    "zero hours": ({}, ("--hours", "0"), r"--hours: `max_training_hours` must be greater than 0"),
    "negative hours": ({}, ("--hours", "-2"), r"--hours: .* greater than 0"),
    "no hours": ({}, ("--hours", "nan"), r"--hours: .* must be a finite number"),
    "hours in words": ({}, ("--hours", "two"), r"'--hours'.*valid number"),
    "two different hours": (
        {
            "training_config.json": '{"base_model": "b", "dataset": "d", "max_training_hours": 12}',
            "safety_config.json": '{\n"max_training_hours": 10}',
        },
        (),
        r"training_config\.json:1:59 gives 12 hours and conf/safety_config\.json:2:23 gives 10\. Make .* the same",
    ),
    "both hours and deadline": ({}, ("--hours", "3", "--deadline", "07:30"), r"--hours and --deadline .* one of them"),
    "deadline in the past": (
        {},
        ("--deadline", "2020-01-31T07:30"),
        r"2020-01-31T07:30 has passed: it is \d{4}-.*later",
    ),
    "deadline that is no time": ({}, ("--deadline", "tomorrow"), r"'tomorrow' is not a time: write an ISO date"),
    "deadline at 25:00": ({}, ("--deadline", "25:00"), r"'25:00' is not a time"),
    "broken configuration": (
        {"training_config.json": '{"base_model": "b",\n "dataset": }'},
        (),
        r"training_config\.json:2:\d+: this is not valid JSON",
    ),
    "empty configuration": ({"training_config.json": ""}, (), r"training_config\.json:1:1: the file is empty"),
    "missing chat template": ({}, ("--chat-template", "no.jinja"), r"There is no chat template at .*/no\.jinja\. Name"),
    "base model that is a file": ({}, ("--base-model", "conf/training_config.json"), r"is a file\. Name the folder"),
    "base model that is nowhere": ({}, ("--base-model", "./nobase"), r"There is no folder .*/nobase .*Correct base_m"),
    "base model without weights": ({}, ("--base-model", "conf"), r"conf has no config\.json"),
}


@pytest.mark.parametrize(("files", "words", "complaint"), CONFIGURED.values(), ids=CONFIGURED)
def test_a_bad_configuration_is_named_with_its_place(
    refused: Refused, config: Path, here: Path, files: dict[str, str], words: tuple[str, ...], complaint: str
) -> None:
    shutil.copytree(config, here / "conf")
    for name, content in files.items():
        (here / "conf" / name).write_text(content)
    assert re.search(complaint, refused("--no-tui", "--config", "conf", *words, code=USAGE))


def test_a_configuration_folder_must_be_one(refused: Refused, here: Path) -> None:
    (here / "bare").mkdir()
    assert "nowhere is not a directory. Name one" in refused("--no-tui", "--config", "nowhere", code=USAGE)
    assert "`run.py init bare` writes" in refused("--no-tui", "--config", "bare", code=USAGE)


def test_an_unknown_model_without_a_network_is_answered_within_three_seconds(
    refused: Refused, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://192.0.2.1")  # set aside for documentation: packets to it are lost
    began = time.monotonic()
    told = refused("--no-tui", "--config", config, "--base-model", "nobody/nothing", code=USAGE)
    assert time.monotonic() - began < 3
    assert "192.0.2.1 cannot be reached" in told
    assert "hf download nobody/nothing" in told


def test_a_base_that_lacks_a_tensor_is_refused_by_its_name(
    refused: Refused, config: Path, here: Path, tiny_base: Path
) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    shutil.copytree(tiny_base, here / "base")
    tensors = load_file(here / "base" / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if k != name}, here / "base" / "model.safetensors", {"format": "pt"})
    told = refused("--no-tui", "--config", config, "--base-model", "base", code=USAGE)
    assert f"lacks the tensor {name}" in told


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


def test_init_writes_over_nothing(refused: Refused, here: Path) -> None:
    (here / "safety_config.json").write_text("{}")
    assert "safety_config.json already there" in refused("init", code=USAGE)


def test_a_refusal_quotes_nothing_that_drives_the_terminal(refused: Refused, config: Path) -> None:
    nasty = "\x1b[2Jhidden\u202e.json"
    for words in (("--config", config, "--dataset", nasty), ("--config", nasty), (nasty,), ("--resume", nasty)):
        told = refused("--no-tui", *words, code=USAGE)
        assert "hidden" in told
        assert "\x1b" not in told
        assert "\u202e" not in told


def test_a_bad_line_among_a_thousand_is_found_and_not_quoted(refused: Refused, config: Path, here: Path) -> None:
    rows = [json.dumps(THERAPY) for _ in range(1000)]
    rows[4] = '{"text": "Client: a secret'
    (here / "rows.jsonl").write_text("\n".join(rows))
    told = refused("--no-tui", "--config", config, "--dataset", "rows.jsonl", code=DATA)
    assert "rows.jsonl:5:" in told
    assert "secret" not in told
