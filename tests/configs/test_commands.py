"""`config check|show|schema` and `init`, as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.commands import app, init
from configs.errors import ConfigError, UsageError
from configs.identity import config_hash
from configs.load import load, preset_dir
from configs.schema import FILES

Write = Callable[..., Path]


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_check_names_the_files_and_what_looks_odd(write: Write) -> None:
    write(training='{"base_model": "a/b", "dataset": "none.json"}')
    said = run("check")
    assert "safety_config.json         absent: defaults" in said
    assert "within 12 hours" in said
    assert "note: training_config.json:1:34: there is no file" in said
    assert "is valid" in said


def test_check_raises_what_is_wrong_for_the_command_line_to_print(write: Write) -> None:
    write(training='{"base_model": 1}')
    with pytest.raises(ConfigError, match=r"training_config\.json:1:16"):
        run("check", ".")
    with pytest.raises(ConfigError, match="--set top_k"):
        run("check", "demo", "--set", "top_k=9")


def test_every_reading_command_prints_json_for_scripts(write: Write) -> None:
    config = load(write())
    assert json.loads(run("check", "--json"))["hash"] == config_hash(config)
    shown = json.loads(run("show", "--json", "--origin", "--set", "seed=7"))
    assert shown["training"]["seed"] == 7
    assert shown["origin"]["training.seed"] == "--set seed"
    assert shown["origin"]["moe.top_k"] == "default"


def test_show_prints_each_value_and_where_it_was_stated(write: Write) -> None:
    write(training='{"base_model": "a/b", "seed": 7}')
    lines = run("show", "--origin").splitlines()
    assert [line.split() for line in lines if line.split()[0] == "seed"] == [["seed", "7", "training_config.json:1:31"]]
    assert [line.split()[-1] for line in lines if line.split()[0] == "top_k"] == ["default"]
    assert "training_config.json:1:31" not in run("show")


def test_elsewhere_the_demo_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(preset_dir("demo")) in run("show")


def test_the_schema_describes_every_key_with_its_range() -> None:
    every = json.loads(run("schema"))
    assert list(every) == list(FILES.values())
    for schema in every.values():
        assert all(field["description"] for field in schema["properties"].values())
        assert schema["additionalProperties"] is False
    one = json.loads(run("schema", "training"))
    assert one == every["training_config.json"] == json.loads(run("schema", "somewhere/training_config.json"))
    assert one["properties"]["eval_fraction"]["maximum"] == 0.5
    with pytest.raises(UsageError, match="none of the configuration files"):
        run("schema", "other.json")


def test_init_writes_the_four_files_and_they_load(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    written = init(folder)
    assert sorted(path.name for path in written) == sorted(FILES.values())
    assert load(folder).training.base_model == "LatitudeGames/Wayfarer-2-12B"


def test_init_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("safety_config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"^safety_config\.json already there"):
        init(Path())
    assert [path.name for path in tmp_path.iterdir()] == ["safety_config.json"]
    assert Path("safety_config.json").read_text() == "{}"


def test_init_says_when_a_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        init(tmp_path / "file" / "folder")
