"""A base model or a chat template that cannot be what the run needs: refused before anything is spawned or made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from configs.errors import DataError, UsageError
from engine.training.build import _same_inputs
from states.events import RunStopped

pytestmark = pytest.mark.usefixtures("unsynced")


def test_a_resume_on_other_weights_of_the_same_shape_is_refused(
    bench: Any, tiny_base: Path, tmp_path: Path, typed: Callable[..., Any]
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    bench.go_until(3, base_model=str(base))
    weights = base / "model.safetensors"
    before = weights.read_bytes()
    tensors = load_file(weights)
    name = "model.layers.1.mlp.up_proj.weight"
    save_file(tensors | {name: tensors[name] * 1.01}, weights, {"format": "pt"})
    made = sorted(path.name for path in bench.run.iterdir())
    for words in ((), ("--resume", "auto"), ("--resume", bench.run / "checkpoint-3")):
        said = typed("--no-tui", "--config", bench.config, "--base-model", base, *words)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("stint: The weights or the tokenizer of the base model in ")
        assert said.err.count("\n") == 1
        assert "Put the old base back" in said.err
    assert sorted(path.name for path in bench.run.iterdir()) == made
    weights.write_bytes(before)
    assert bench.go(base_model=str(base), resume="auto") == 0
    assert len(bench.events(RunStopped)) == 2


def test_init_looks_again_at_the_base_of_the_checkpoint_it_restores() -> None:
    with pytest.raises(DataError, match="The base model has changed since this run began"):
        _same_inputs({"base": "a"}, {"data": [], "template": "", "base": "b"})
    _same_inputs({}, {"data": [], "template": "", "base": "b"})


def test_a_broken_chat_template_is_refused_before_anything_is_made(
    bench: Any, tmp_path: Path, typed: Callable[..., Any]
) -> None:
    template = tmp_path / "broken.jinja"
    template.write_text("{% for m in messages %}\n{{ m['content'] }")
    said = typed("--no-tui", "--config", bench.config, "--chat-template", template)
    assert (said.code, said.out) == (2, "")
    assert f"{template}:2: the chat template is not valid Jinja" in said.err
    assert not bench.run.exists()
    with pytest.raises(UsageError, match="nothing to resume"):
        bench.choose(resume="auto")
