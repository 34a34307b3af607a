"""Bad data and bad configurations as people type them: one clear paragraph, its exit code, and nothing made."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.e2e.refusing import DATA, THERAPY, USAGE, Refused

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


def test_a_bad_line_among_a_thousand_is_found_and_not_quoted(refused: Refused, config: Path, here: Path) -> None:
    rows = [json.dumps(THERAPY) for _ in range(1000)]
    rows[4] = '{"text": "Client: a secret'
    (here / "rows.jsonl").write_text("\n".join(rows))
    told = refused("--no-tui", "--config", config, "--dataset", "rows.jsonl", code=DATA)
    assert "rows.jsonl:5:" in told
    assert "secret" not in told
