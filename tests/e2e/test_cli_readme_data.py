"""The README's commands about a data set and a trained model, typed as they stand there, on small things."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from configs.load import demo_dir
from tests.e2e.readme import Typed, words


@pytest.fixture
def data(here: Path) -> Path:
    """A working directory with the demo's conversations as data.json."""
    return Path(shutil.copy(demo_dir() / "conversations.json", here / "data.json"))


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Safety and bias checks, which have tests of their own, as a section each."""
    from engine.quality import bias, safety
    from engine.quality.findings import Section

    for module in (safety, bias):
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, "run", lambda *_, name=name, **__: iter([Section(name=name, title=name)]))


def test_a_model_is_exported_released_and_backed_up(
    typed: Typed, project_with_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
    (project_with_run / ".gitignore").write_text("*\n")
    for made in (["init", "-q"], ["add", "-f", ".gitignore"], ["commit", "-q", "-m", "begin"]):
        subprocess.run([*git, *made], check=True)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "T")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@example.org")
    sent: list[str] = []

    def upload(_client: object, path: Path, place: Any, *_: object, **__: object) -> tuple[str, bool]:
        sent.append(place.key(path.name))
        return f"s3://{place.bucket}/{sent[-1]}", True

    monkeypatch.setattr("engine.release.remote.client", lambda endpoint: None)
    monkeypatch.setattr("engine.release.remote.reach", lambda *_: None)
    monkeypatch.setattr("engine.release.remote.upload", upload)
    for command, told in (
        ("python run.py export [RUN]", "routing active"),
        ("python run.py export [RUN] --form merged --output-dir merged", "routing inactive"),
        ("python run.py release 1.0 [RUN]", "tag run-v1.0 on"),
        ("python run.py backup [RUN] --output backup.tar.gz", "read back and compared"),
        ("python run.py backup [RUN] --to s3://bucket/models", "fetched and hashed"),
        ("python run.py restore backup.tar.gz restored", "every hash as recorded"),
    ):
        said = typed(*words(command, RUN="run")[-1])
        assert (said.code, said.err) == (0, ""), command
        assert told in said.out
    assert sent[0].startswith("models/run_")
    assert (project_with_run / "merged" / "merged" / "model.safetensors").is_file()
    assert (project_with_run / "restored" / "events.jsonl").is_file()


def test_a_data_set_is_analyzed_validated_and_previewed(typed: Typed, data: Path) -> None:
    [analyze] = words("python run.py dataset analyze data.json")
    said = typed(*analyze)
    assert (said.code, said.err) == (0, "")
    for told in ("Total conversations", "Avg tokens per conversation", "Min tokens", "Max tokens", "Total tokens"):
        assert told in said.out
    for line in words("python run.py dataset validate data.json [--json]"):
        said = typed(*line)
        assert (said.code, said.err) == (0, "")
        assert json.loads(said.out)["ok"] if "--json" in line else "0 errors" in said.out
    [preview] = words("python run.py dataset preview data.json 12")
    said = typed(*preview)
    assert (said.code, said.err) == (0, "")
    assert "row 12 (this one)" in said.out


def test_a_data_set_is_sampled_and_converted(typed: Typed, data: Path) -> None:
    command = "python run.py dataset sample --input data.json --output small.json --size 100 [--balance-domains]"
    for line in words(command):
        said = typed(*line)
        assert (said.code, said.err) == (0, "")
        assert len(json.loads((data.parent / "small.json").read_text())["conversations"]) == 100
        (data.parent / "small.json").unlink()
    command = "python run.py dataset convert data.json --to messages|transcript --output converted.jsonl"
    for line in words(command):
        said = typed(*line)
        assert (said.code, said.err) == (0, "")
        (data.parent / "converted.jsonl").unlink()


@pytest.mark.usefixtures("brief")
def test_a_model_is_evaluated(typed: Typed, project_with_run: Path, data: Path) -> None:
    for line in words("python run.py evaluate [RUN] --quick", RUN="run"):
        said = typed(*line)
        assert said.code == 0, said.err
        assert "Loss per therapist token" in said.out
    assert (project_with_run / "run" / "evaluation-quick" / "evaluation.json").is_file()
    data.write_text(json.dumps([{"text": "Client: boss\nTherapist: Tell me."}, {"text": "Client: b\nTherapist: c"}]))
    [line] = words("python run.py evaluate --model_path RUN --test_data data.json --output_dir results", RUN="run")
    said = typed(*line)
    assert said.code == 0, said.err
    assert json.loads((project_with_run / "results" / "evaluation.json").read_text())["data"]["conversations"] == 2


def test_a_model_answers(typed: Typed, project_with_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project_with_run / "prompts.json").write_text('["I feel worry"]')
    lines = words("python run.py infer --model_path RUN --test_file prompts.json [--json]", RUN="run")
    shown, told = (typed(*line) for line in lines)
    assert (shown.code, told.code) == (0, 0)
    assert "[1] client: I feel worry" in shown.out
    assert json.loads(told.out)["client"] == "I feel worry"
    last = words("python run.py infer [RUN] --prompt TEXT [--base] [--show-experts]", RUN="run")[-1]
    assert "experts: none" in typed(*last).err
    monkeypatch.setattr("sys.stdin", io.StringIO("/quit\n"))
    said = typed(*words("python run.py infer [RUN] --chat", RUN="run")[-1])
    assert said.code == 0
    assert "/quit leaves" in said.err
