"""What a start checks of its data before anything is spawned: what Setup would refuse, soon, and no file twice."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError, DataError, UserError
from configs.schema import Config, MoeConfig, SafetyConfig, TrainingConfig, WandbConfig
from engine.data import early
from engine.data.early import check_sources
from engine.data.prepare import read_sources

GOOD = [{"text": f"Client: I worry about work, {n}.\nTherapist: What about it, {n}?"} for n in range(20)]
FLAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Client: a\nTherapist: b"}]}


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stint" / "checked"


def settings(folder: Path, rows: Any, held: Any = None, domains: tuple[str, ...] | None = None) -> Config:
    (folder / "data.json").write_text(json.dumps(rows))
    if held is not None:
        (folder / "held.json").write_text(json.dumps(held))
    other = {} if held is None else {"validation_dataset": str(folder / "held.json")}
    return Config(
        training=TrainingConfig(base_model="base", dataset=str(folder / "data.json"), **other),
        moe=MoeConfig(domains=domains),
        safety=SafetyConfig(),
        wandb=WandbConfig(),
    )


def heard() -> tuple[list[tuple[str, int, int]], Any]:
    calls: list[tuple[str, int, int]] = []
    return calls, lambda *each: calls.append(each)


@pytest.mark.parametrize(
    "case",
    [
        {"rows": [{"text": "none"}]},
        {"rows": []},
        {"rows": [{"text": "Client: alone."}]},
        {"rows": [*GOOD, FLAT]},
        {"rows": [{"text": f"Client: Same.\nTherapist: {n}"} for n in range(9)]},
        {"rows": GOOD, "held": GOOD},
        {"rows": GOOD, "held": [FLAT]},
        {"rows": GOOD, "domains": ("grief",)},
    ],
)
def test_what_setup_would_refuse_is_refused_in_the_same_words(tmp_path: Path, case: dict[str, Any]) -> None:
    config = settings(tmp_path, **case)
    with pytest.raises(UserError) as late:
        read_sources(config)
    with pytest.raises((ConfigError, DataError)) as soon:
        check_sources(config, lambda *_: None)
    assert (type(soon.value), soon.value.message) == (type(late.value), late.value.message)


def test_progress_is_told_to_its_end(tmp_path: Path) -> None:
    calls, hear = heard()
    check_sources(settings(tmp_path, GOOD, GOOD[:2]), hear)
    for task in ("read data.json", "read held.json", "check data.json", "check held.json"):
        told = [(done, total) for name, done, total in calls if name == task]
        assert told[0][0] == 0
        assert told[-1][0] == told[-1][1]


def test_a_large_file_that_passed_is_not_read_again_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: Path
) -> None:
    config = settings(tmp_path, GOOD)
    check_sources(config, lambda *_: None)
    assert not marks.exists(), "small files are simply read"
    monkeypatch.setattr(early, "LARGE_BYTES", 100)
    for expected in (True, False):
        calls, hear = heard()
        check_sources(config, hear)
        assert bool(calls) is expected
    [mark] = marks.iterdir()
    assert (stat.S_IMODE(mark.stat().st_mode), mark.stat().st_size) == (0o600, 0)
    path = tmp_path / "data.json"
    before = path.stat()
    path.write_text(path.read_text().replace("Therapist", "Therapisd"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    with pytest.raises(DataError):
        check_sources(config, lambda *_: None)


def test_a_file_that_was_refused_is_never_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marks: Path
) -> None:
    monkeypatch.setattr(early, "LARGE_BYTES", 100)
    for _ in range(2):
        with pytest.raises(DataError):
            check_sources(settings(tmp_path, [*GOOD, FLAT]), lambda *_: None)
    assert not marks.exists()
    marks.parent.mkdir(parents=True)
    marks.write_text("a file where the folder should be")
    check_sources(settings(tmp_path, GOOD), lambda *_: None)
    assert time.time() - marks.stat().st_mtime < 60


def test_no_check_of_words_raises_an_error_that_a_start_does_not_look_for() -> None:
    from engine.data.checks import leakage, privacy, roles, wording
    from engine.data.checks.finding import Kind, Severity

    kinds = [each for room in (leakage, privacy, roles, wording) for each in vars(room).values()]
    errors = {each.code for each in kinds if isinstance(each, Kind) and each.severity is Severity.ERROR}
    assert errors == {"both-roles"}
