"""The audit's benchmark on a tiny file: the file is the same each time, and every part of the answer is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import audit
import pytest

from engine.data.formats import read_dataset


def test_the_made_up_data_set_is_the_same_each_time_and_all_of_it_can_be_read(tmp_path: Path) -> None:
    for name in ("one.json", "other.json"):
        count = audit.write(tmp_path / name, 0.2)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert (tmp_path / "one.json").stat().st_size == pytest.approx(200_000, rel=0.05)
    dataset = read_dataset(tmp_path / "one.json")
    assert len(dataset.conversations) == dataset.rows == count


def run(out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["audit.py", "--megabytes", "0.05", "--rounds", "2", "--out", str(out)])
    audit.main()
    return dict(json.loads(out.read_text()))


def test_the_table_compares_each_process_with_the_first_of_its_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick, busy = "pass", "for _ in range(10**7): pass"
    codes = {audit.ALONE: quick, audit.CONTROL: quick, "validate": quick, "analyze": busy}
    monkeypatch.setattr(audit, "commands", lambda path: {n: [sys.executable, "-c", c] for n, c in codes.items()})
    result = run(tmp_path / "audit.json", monkeypatch)
    found = result["found"]
    assert found[audit.ALONE]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert found["analyze"]["ratio"]["low"] > 2 > found["validate"]["ratio"]["low"]
    assert not result["kept"]
    assert all(each["peak_bytes"] > 1 << 20 for each in found.values())
    assert len(result["rounds"]) == 2
    assert result["machine"]["cores"]
    assert "2 GiB: no" in capsys.readouterr().out


@pytest.mark.slow
def test_the_real_commands_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path / "audit.json", monkeypatch)
    assert set(result["found"]) == {"tokenising", "tokenising again", "validate", "analyze"}
    assert all(each["cpu_s"]["low"] > 0 for each in result["found"].values())


def test_a_command_that_fails_ends_the_benchmark_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"exit code 3(?s:.)*needle"):
        audit.measured([sys.executable, "-c", "print('needle'); raise SystemExit(3)"], tmp_path)
