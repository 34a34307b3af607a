"""`run.py report` as a person types it, and the report that a run leaves behind by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.run.journal import read
from engine.run.rundir import RunDir
from states import events as e
from states.phases import Outcome

NAMES = {"training_report.pdf", "training_report.html", "report.json"}


def test_three_files_are_written_beside_the_journal(tmp_path: Path, finished: Any, typed: Any) -> None:
    folder = finished.write(tmp_path / "run")
    said = typed("report", folder)
    assert said.code == 0
    assert said.out.startswith("Finished: all 40 planned steps done. ")
    assert {path.name for path in folder.iterdir()} == NAMES | {"events.jsonl"}
    assert (folder / "training_report.pdf").read_bytes().startswith(b"%PDF")


def test_options_of_the_documents_script_are_understood(tmp_path: Path, finished: Any, typed: Any) -> None:
    folder = finished.write(tmp_path / "run")
    said = typed("report", "--model_path", folder, "--wandb_run_id", "abc", "--output", tmp_path / "out" / "mine.pdf")
    assert said.code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.pdf"]
    assert typed("report", folder, "--output_dir", tmp_path / "there", "--format", "json").code == 0
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["report.json"]


def test_json_prints_the_report_and_nothing_else(tmp_path: Path, finished: Any, typed: Any) -> None:
    folder = finished.write(tmp_path / "run")
    said = typed("report", folder, "--json", "--format", "json", "--wandb_run_id", "abc")
    told = orjson.loads(said.out)
    assert told == orjson.loads((folder / "report.json").read_bytes())
    assert told["summary"]["final_loss"] == 0.8
    assert told["summary"]["wandb_run_id"] == "abc"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--format", "docx"], "docx is no format"),
        (["--format", ","], "no format is named"),
        (["--output", "report.docx"], "docx is no format"),
        (["--output", "a.pdf", "--output-dir", "b"], "give one of them"),
        (["--output-dir", "{file}"], "is a file"),
    ],
)
def test_a_wrong_request_is_one_paragraph(
    tmp_path: Path, finished: Any, typed: Any, words: list[str], what: str
) -> None:
    folder = finished.write(tmp_path / "run")
    (tmp_path / "file").write_text("")
    said = typed("report", folder, *[word.format(file=tmp_path / "file") for word in words])
    assert said.code == 2
    assert what in said.err
    assert said.err.count("\n") == 1


def test_no_run_there_is_one_paragraph(tmp_path: Path, typed: Any) -> None:
    said = typed("report", tmp_path)
    assert said.code == 2
    assert "no run is here" in said.err


def test_a_disk_that_refuses_is_told_and_leaves_no_part(tmp_path: Path, finished: Any, typed: Any) -> None:
    folder = finished.write(tmp_path / "run")
    (folder / "training_report.html").mkdir()
    said = typed("report", folder)
    assert said.code == 1
    assert "training_report.html cannot be written" in said.err
    assert [path.name for path in folder.iterdir() if path.name.endswith(".tmp")] == []


def test_a_finished_run_leaves_its_report_and_says_where(finished_run: Path) -> None:
    told = orjson.loads((finished_run / "report.json").read_bytes())
    assert told["verdict"]["headline"].startswith("Finished")
    assert told["summary"]["exit_code"] == 0
    assert {path.name for path in finished_run.iterdir()} >= NAMES
    records = list(read(RunDir(finished_run).events))
    assert isinstance(records[-1].event, e.RunStopped)
    messages = [record.event.text for record in records if isinstance(record.event, e.MessageLogged)]
    assert any("training_report.pdf" in text for text in messages)
    assert "training_report.pdf" in (finished_run / "training.log").read_text()


def test_a_report_that_fails_does_not_fail_the_run(
    configured: Any, tmp_path: Path, typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine.report.write

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(engine.report.write, "write_report", broken)
    said = typed("--no-tui", "--config", configured(num_train_epochs=1))
    assert said.code == 0
    assert "the report was not written: RuntimeError: no ink" in said.err
    assert not (tmp_path / "run" / "report.json").exists()


def test_a_report_that_hangs_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    from types import SimpleNamespace

    import engine.report.write
    from engine.training import report_after

    free = threading.Event()
    monkeypatch.setattr(engine.report.write, "write_report", lambda *_, **__: free.wait(30.0))
    monkeypatch.setattr(report_after, "PATIENCE_S", 0.1)
    report_after.leave_report(SimpleNamespace(rundir=RunDir(tmp_path)))
    free.set()
    assert "the report was not written: it was not ready after 0 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "hurry", "left", "began", "words"),
    [
        (Outcome.FINISHED, False, 600.0, True, "The report follows"),
        (Outcome.FINISHED, False, None, True, "The report follows"),
        (Outcome.FAILED, False, -5.0, True, "The report follows"),
        (Outcome.FINISHED, True, 600.0, True, "the run was told to hurry"),
        (Outcome.FINISHED, False, 0.1, True, "the window is over"),
        (Outcome.INTERRUPTED, False, 600.0, True, None),
        (Outcome.FAILED, False, 600.0, False, None),
    ],
)
def test_whether_a_report_follows_is_said_before_the_end(
    tmp_path: Path, outcome: Outcome, hurry: bool, left: float | None, began: bool, words: str | None
) -> None:
    from types import SimpleNamespace

    from engine.training.report_after import promise_report

    said: list[Any] = []
    session = SimpleNamespace(
        rundir=RunDir(tmp_path), progress=object() if began else None, emit=said.append,
        flags=SimpleNamespace(hurry=hurry, stop=False), remaining_s=lambda: left,
    )  # fmt: skip
    promised = promise_report(session, outcome)
    assert promised == (words == "The report follows")
    assert [words in each.text for each in said] == ([True] if words else [])
