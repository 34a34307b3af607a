"""What an evaluation is measured on: requests that are refused, and data that is not held out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.quality.evaluating import Evaluated
from engine.quality.evaluation import Part
from tests.quality.made import Typed


def test_what_cannot_be_evaluated_is_refused_with_a_reason(
    typed: Typed, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty, silent, closed = tmp_path / "empty.json", tmp_path / "silent.json", tmp_path / "closed"
    empty.write_text("")
    silent.write_text(json.dumps({"conversations": [{"text": "Client: is anybody there?"}]}))
    closed.write_text("a file where a folder is wanted")
    damaged = tmp_path / "damaged"
    shutil.copytree(finished_run, damaged)
    for path in damaged.rglob("moe_layers.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    lone = tmp_path / "lone"
    lone.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "moe_layers.safetensors"):
        shutil.copy(finished_run / name, lone)
    cases: list[tuple[tuple[Any, ...], int, str]] = [
        ((tmp_path / "nowhere",), 2, "There is no"),
        ((empty,), 2, "is a file"),
        ((damaged,), 2, "no trained model that is whole"),
        ((lone,), 2, "--test-data"),
        ((finished_run, "--test_data", tmp_path / "none.json"), 3, "There is no test data"),
        ((finished_run, "--test_data", empty), 3, "is empty"),
        ((finished_run, "--test_data", silent), 3, "therapist turn"),
        ((finished_run, "--output_dir", closed), 2, "cannot be written"),
        ((finished_run, "--stimuli", tmp_path / "none"), 2, "--stimuli"),
        ((finished_run, "--model-path", tmp_path), 2, "two models"),
        ((finished_run, "--limit", "0"), 2, "limit"),
    ]
    for words, code, why in cases:
        said = typed("evaluate", *words)
        assert (said.code, said.out) == (code, ""), words
        assert why in " ".join(said.err.split()), words
    assert not list(lone.glob("evaluation*"))


def test_data_that_changed_since_the_run_is_no_held_out_data(finished_run: Path, typed: Typed, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    config = json.loads((copy / "config.resolved.json").read_text())
    rows = json.loads(Path(config["training"]["dataset"]).read_text())["conversations"]
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"conversations": rows[::-1]}))
    config["training"]["dataset"] = str(other)
    (copy / "config.resolved.json").write_text(json.dumps(config))
    said = typed("evaluate", copy)
    assert said.code == 3
    assert "has changed since this run" in said.err


def test_test_data_that_was_trained_on_is_called_memory(
    run: Callable[..., Evaluated], finished_run: Path, tmp_path: Path
) -> None:
    from engine.quality.perplexity import perplexity

    one = Part(name="perplexity", title="Perplexity", sections=perplexity)
    config = json.loads((finished_run / "config.resolved.json").read_text())
    trained = run(one, test_data=Path(config["training"]["dataset"])).evaluation
    assert trained.data["trained_on"] == 44
    assert "44 of the 48 conversations begin with a prompt that was trained on" in trained.sections[0].caveat
    fresh = tmp_path / "fresh.json"
    fresh.write_text(json.dumps([{"text": "Client: an unheard of thing\nTherapist: Tell me."}]))
    untold = run(one, test_data=fresh).evaluation
    assert untold.data["trained_on"] == 0
    assert "memory" not in untold.sections[0].caveat


def test_a_checkpoint_on_domains_it_never_saw_is_evaluated_too(
    run: Callable[..., Evaluated], finished_run: Path, tmp_path: Path
) -> None:
    from engine.quality.perplexity import perplexity
    from engine.quality.routes import routes

    data = tmp_path / "data.json"
    rows = [{"text": f"Client: I feel {n}\nTherapist: Say {n}.", "domain": f"domain {n % 7}"} for n in range(14)]
    data.write_text(json.dumps(rows))
    parts = (
        Part(name="perplexity", title="Perplexity", sections=perplexity),
        Part(name="routing", title="Routing", sections=routes),
    )
    checkpoint = max(finished_run.glob("checkpoint-*"))
    found = run(*parts, test_data=data, model_path=checkpoint)
    assert len(found.evaluation.sections[0].tables[0].rows) == 7
    assert not found.evaluation.unfinished
