"""The commands as typed: export, release, backup, restore."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.quality.subject import find_subject
from tests.conftest import Typed

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_is_exported_with_its_gaps(typed: Typed, finished_run: Path, tmp_path: Path) -> None:
    said = typed("export", finished_run, "--output-dir", "out", "--form", "routed", "--form", "average", "--json")
    assert said.code == 0, said.err
    told = {each["folder"]: each for each in json.loads(said.out)["artefacts"]}
    info = json.loads((finished_run / "model_info.json").read_text())
    assert told["routed"]["loss"] == pytest.approx(info["final_loss"], abs=1e-4)
    assert told["average"]["gap"] == pytest.approx(told["average"]["loss"] - told["routed"]["loss"])
    assert json.loads((tmp_path / "out" / "export.json").read_text())["artefacts"] == list(told.values())
    base = info["base_model"]
    assert base.startswith("/")
    for path in (tmp_path / "out").rglob("*.*"):
        assert path.is_dir() or base.encode() not in path.read_bytes(), "where the base lies is nobody else's business"
    again = ("infer", "--model-path", tmp_path / "out" / "routed", "--prompt", "hello", "--max-tokens", 2)
    refused = typed(*again)
    assert refused.code == 2
    assert "--base-model" in refused.err
    assert typed(*again, "--base-model", base).code == 0
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_a_checkpoint_is_exported_under_another_base_name(typed: Typed, finished_run: Path, tmp_path: Path) -> None:
    checkpoint = min(finished_run.glob("checkpoint-*"))
    said = typed("export", checkpoint, "--output_dir", "out", "--no-measure", "--base-name", "owner/base")
    assert said.code == 0, said.err
    config = json.loads((tmp_path / "out" / "average" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/base"
    assert "base_model: owner/base" in (tmp_path / "out" / "average" / "README.md").read_text()
    assert "was not measured" in (tmp_path / "out" / "average" / "README.md").read_text()


def test_a_checkpoint_is_exported_with_the_chat_template_file_of_its_run(
    typed: Typed, finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run, ignore=shutil.ignore_patterns("*.sock"))
    other = tmp_path / "other.jinja"
    other.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    record = run / "config.resolved.json"
    told = json.loads(record.read_text())
    told["training"]["chat_template"] = str(other)
    record.write_text(json.dumps(told))
    said = typed("export", min(run.glob("checkpoint-*")), "--output-dir", "out", "--no-measure")
    assert said.code == 2
    assert "another chat template" in said.err, "the file that the run names is the one that is taken"


def test_a_run_is_released_backed_up_and_restored(typed: Typed, finished_run: Path, tmp_path: Path) -> None:
    said = typed("release", "1.0", finished_run, "--no-tag", "--output-dir", "released")
    assert said.code == 0, said.err
    assert "sha256sum -c" in said.out
    said = typed("backup", finished_run, "--output", "b.tar.gz", "--json")
    assert said.code == 0, said.err
    made = json.loads(said.out)
    assert made["compressed"] is True
    assert made["conversations"] is False
    assert typed("restore", "b.tar.gz", "back").code == 0
    assert typed("checkpoint", "verify", "back").code == 0
    assert (tmp_path / "back" / "events.jsonl").read_bytes() == (finished_run / "events.jsonl").read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("release", "1.0", "RUN", "--no-tag", "--output-dir", "PLACE"),
        ("export", "RUN", "--no-measure", "--output-dir", "PLACE"),
        ("backup", "RUN", "--output", "PLACE.tar"),
    ],
)
def test_a_full_disk_is_one_paragraph_and_leaves_nothing(finished_run: Path, tmp_path: Path, words: Any) -> None:
    """A real limit in a real process: each library meets it in its own way."""
    place = tmp_path / "made"
    told = [each.replace("RUN", str(finished_run)).replace("PLACE", str(place)) for each in words]
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        f"sys.argv = ['run.py', *{told!r}]\n"
        "from run import main\nsys.exit(main())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2, ran.stderr
    assert f"{place}" in ran.stderr
    assert "could not be written" in ran.stderr
    assert "Nothing is left" in ran.stderr
    assert "defect" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_of_a_release_stands_beside_it(finished_run: Path, tmp_path: Path, typed: Typed) -> None:
    assert typed("release", "1.0", finished_run, "--no-tag", "--output-dir", "released").code == 0
    subject = find_subject(Path("released"))
    assert subject.evaluation_dir(quick=True) == tmp_path / "released-evaluation-quick"
    assert subject.evaluation_dir(quick=False) == tmp_path / "released-evaluation"


def test_an_export_as_a_whole_is_no_model_and_says_which_are_in_it(
    finished_run: Path, tmp_path: Path, typed: Typed
) -> None:
    assert typed("export", finished_run, "--no-measure", "--output-dir", "out").code == 0
    said = typed("infer", "--model-path", "out", "--prompt", "hello")
    assert said.code == 2
    assert "Name one of those in it: average, routed." in said.err


def test_a_place_that_cannot_be_made_is_told(typed: Typed, finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in (
        ("release", "1.0", finished_run, "--no-tag", "--output-dir", "file/x"),
        ("export", finished_run, "--no-measure", "--output-dir", "file/x"),
        ("backup", finished_run, "--output", "file/x.tar"),
    ):
        said = typed(*words)
        assert said.code == 2
        assert "could not be written" in said.err, words
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("export", "nowhere"), 2, "There is no nowhere"),
        (("export", "RUN", "--device", "tpu"), 2, "--device"),
        (("export", "RUN", "--form", "gguf"), 2, "gguf"),
        (("export", "RUN", "--form", "merged", "--domain", "x", "--no-measure"), 2, "no domain 'x'"),
        (("export", "RUN", "--domain", "x"), 2, "--form merged"),
        (("export", "RUN", "--no-measure", "--limit", "2"), 2, "--no-measure reads no"),
        (("export", "RUN", "--form", "domains", "--no-measure"), 2, "Leave --no-measure out"),
        (("export", "RUN", "--output-dir", "."), 2, "exists"),
        (("export", "RUN", "--test-data", "none.json"), 3, "none.json"),
        (("release", "one", "RUN"), 2, "is no version"),
        (("release", "1.0", "RUN"), 2, "no git repository"),
        (("backup", "RUN", "--to", "models"), 2, "s3://"),
        (("backup", "nowhere"), 2, "no run is here"),
        (("restore", "nothing.tar", "back"), 2, "no backup"),
    ],
)
def test_what_cannot_be_done_is_one_paragraph(
    typed: Typed, finished_run: Path, tmp_path: Path, words: tuple[str, ...], code: int, complaint: str
) -> None:
    said = typed(*(finished_run if word == "RUN" else word for word in words))
    assert said.code == code
    assert complaint in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
