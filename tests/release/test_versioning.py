"""A release: hashes that coreutils checks, a tag that names them, and nothing made where anything is in the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError, UsageError
from engine.quality.findings import Evaluation, to_json
from engine.quality.folder import EvaluationFolder
from engine.release.sums import sha256_of
from engine.release.versioning import release
from engine.report.write import write_report
from engine.run.rundir import RunDir


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, called `model`."""
    ignore = shutil.ignore_patterns("checkpoint-*", "*.sock")
    return Path(shutil.copytree(finished_run, tmp_path / "model", ignore=ignore))


def git(place: Path, *words: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    done = subprocess.run(
        ["git", "-C", str(place), *words], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit, nothing else."""
    place = tmp_path / "repo"
    place.mkdir()
    git(place, "init", "-q")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org"), ("tag.gpgSign", "false")):
        git(place, "config", key, value)
    (place / "code.py").write_text("1\n")
    git(place, "add", "code.py")
    git(place, "commit", "-q", "-m", "begin")
    return place


def test_a_release_holds_what_the_users_document_names(run: Path, repository: Path) -> None:
    made = release(run, "1.0", repository=repository)
    info = json.loads((made.folder / "model_info.json").read_text())
    for name in (
        "version",
        "training_date",
        "dataset_size",
        "training_hours",
        "final_loss",
        "base_model",
        "architecture",
        "lora_rank",
    ):
        assert info[name] is not None, name
    assert info["version"] == "1.0"
    assert info["git_commit"] == git(repository, "rev-parse", "HEAD")
    for name, facts in info["files"].items():
        assert sha256_of(made.folder / name) == facts["sha256"]
    assert (made.folder / "moe_layers.safetensors").read_bytes() == (run / "moe_layers.safetensors").read_bytes()
    assert "conversations" not in " ".join(made.files)


def _told_of(folder: Path, *places: Path | str) -> list[str]:
    """Files that name one of the places."""
    wanted = [str(place).encode() for place in places]
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if any(each in path.read_bytes() for each in wanted)]


def test_nothing_in_a_release_says_where_on_this_machine_anything_lies(run: Path) -> None:
    base = json.loads((run / "model_info.json").read_text())["base_model"]
    assert base.startswith("/")
    names = {"adapter_sha256": "adapter_model.safetensors", "experts_sha256": "moe_layers.safetensors"}
    model = {"base": base} | {key: sha256_of(run / name) for key, name in names.items()}
    evaluation = Evaluation(wall=1.0, seconds=1.0, quick=False, model=model)
    folder = EvaluationFolder(run / "evaluation")
    folder.open()
    folder.save(evaluation, "key", {})
    write_report(RunDir(run))
    assert _told_of(run / "evaluation", base), "as an older version wrote it"
    made = release(run, "1.0", tagged=False)
    config = json.loads((run / "config.resolved.json").read_text())["training"]
    assert {"training_report.html", "evaluation/evaluation.md", "adapter_config.json"} < set(made.files)
    assert _told_of(made.folder, base, run, Path(base).parent, config["output_dir"], config["dataset"]) == []
    assert made.base == Path(base).name
    assert json.loads((made.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == made.base
    named = release(run, "1.1", tagged=False, base_name="owner/base")
    assert json.loads((named.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "owner/base"
    assert "base_model: owner/base" in (named.folder / "README.md").read_text()


def test_coreutils_agree_with_its_hashes(run: Path) -> None:
    made = release(run, "1.0", tagged=False)
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=made.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(made.files)
    (made.folder / "README.md").write_text("changed")
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=made.folder, capture_output=True).returncode == 1


def test_the_tag_is_annotated_and_names_the_hashes(run: Path, repository: Path) -> None:
    made = release(run, "1.0", repository=repository)
    assert made.tag == "model-v1.0"
    assert git(repository, "cat-file", "-t", made.tag) == "tag"
    message = git(repository, "tag", "-l", "--format=%(contents)", made.tag)
    assert sha256_of(made.folder / "SHA256SUMS") in message
    assert "validation loss: " in message
    assert git(repository, "rev-parse", f"{made.tag}^{{commit}}") == made.commit


def test_a_dirty_tree_is_refused_unless_forced(run: Path, repository: Path) -> None:
    (repository / "code.py").write_text("2\n")
    with pytest.raises(UsageError, match="no commit holds"):
        release(run, "1.0", repository=repository)
    assert git(repository, "tag") == ""
    assert not run.with_name("model-v1.0").exists()
    made = release(run, "1.0", repository=repository, force=True)
    assert json.loads((made.folder / "model_info.json").read_text())["git_dirty"] is True


def test_a_version_is_never_moved(run: Path, repository: Path, tmp_path: Path) -> None:
    release(run, "1.0", repository=repository)
    with pytest.raises(UsageError, match="never overwritten"):
        release(run, "1.0", repository=repository)
    with pytest.raises(UsageError, match=r"tag model-v1\.0 exists"):
        release(run, "1.0", repository=repository, target=tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_release_that_fails_takes_its_tag_back(run: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UsageError, match=r"v1\.0 could not be written: No space left"):
        release(run, "1.0", repository=repository)
    monkeypatch.undo()
    assert git(repository, "tag") == ""
    assert not list(run.parent.glob("*v1.0*"))


@pytest.mark.parametrize("version", ["", "one", "1", "1.0 beta", "../1.0", "1.0;rm", "v1.0", "1.0\n", "--all"])
def test_what_is_no_version_is_refused(run: Path, version: str) -> None:
    with pytest.raises(UsageError, match="is no version"):
        release(run, version, tagged=False)


def test_an_evaluation_counts_only_for_the_weights_it_was_made_of(run: Path) -> None:
    names = {"adapter_sha256": "adapter_model.safetensors", "experts_sha256": "moe_layers.safetensors"}
    told = Evaluation(
        wall=1.0, seconds=1.0, quick=False, model={key: sha256_of(run / name) for key, name in names.items()}
    )
    (run / "evaluation").mkdir(exist_ok=True)
    page = run / "evaluation" / "evaluation.json"
    page.write_text(json.dumps(to_json(told)))
    made = release(run, "1.0", tagged=False)
    assert made.headline == told.headline
    assert "evaluation/evaluation.json" in made.files
    page.write_text(json.dumps(to_json(replace(told, model={**told.model, "adapter_sha256": "0" * 64}))))
    made = release(run, "2.0", tagged=False)
    assert made.headline is None
    assert not any(name.startswith("evaluation/") for name in made.files)
    page.write_text("[]")
    assert release(run, "3.0", tagged=False).headline is None


def test_a_damaged_model_is_not_released(run: Path) -> None:
    path = run / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors"):
        release(run, "1.0", tagged=False)
    assert not run.with_name("model-v1.0").exists()


def test_outside_of_git_it_says_what_to_do(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--no-tag"):
        release(run, "1.0", repository=tmp_path)


def test_a_git_that_does_not_answer_is_told(run: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(words: list[str], **choices: Any) -> None:
        raise subprocess.TimeoutExpired(words, choices["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(UsageError, match="did not answer"):
        release(run, "1.0", repository=repository)
    assert not list(run.parent.glob("*v1.0*"))


def test_a_hostile_name_stays_a_name(run: Path, repository: Path) -> None:
    odd = run.rename(run.with_name("--force $(touch x)"))
    made = release(odd, "1.0", repository=repository)
    assert made.tag == "force-touch-x-v1.0"
    assert not (repository / "x").exists()
