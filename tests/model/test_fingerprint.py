"""A base is known by what it holds, wherever and however that lies; other weights or another tokenizer are not it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from configs.errors import ConfigError
from engine.model.fingerprint import fingerprint


@pytest.fixture
def moved(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "elsewhere"))


def test_a_base_that_was_moved_or_cut_into_shards_is_the_same(tiny_base: Path, moved: Path) -> None:
    known = fingerprint(tiny_base)
    assert fingerprint(moved) == known
    tensors = load_file(moved / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[1::2], "b.safetensors": names[::2]}
    for shard, held in parts.items():
        save_file({name: tensors[name] for name in held}, moved / shard)
    placed = {name: shard for shard, held in parts.items() for name in held}
    (moved / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    (moved / "model.safetensors").unlink()
    assert fingerprint(moved) == known


def test_a_file_that_no_loader_reads_does_not_count(tiny_base: Path, moved: Path) -> None:
    shutil.copy(moved / "model.safetensors", moved / "consolidated.safetensors")
    assert fingerprint(moved) == fingerprint(tiny_base)


@pytest.mark.parametrize("what", ["weights", "tokenizer"])
def test_other_weights_or_another_tokenizer_are_another_base(tiny_base: Path, moved: Path, what: str) -> None:
    if what == "weights":
        tensors = load_file(moved / "model.safetensors")
        name = max(tensors)
        tensors[name] = tensors[name] + 1.0
        save_file(tensors, moved / "model.safetensors")
    else:
        (moved / "tokenizer.json").write_bytes((moved / "tokenizer.json").read_bytes() + b"\n")
    assert fingerprint(moved) != fingerprint(tiny_base)


def test_weights_that_cannot_be_read_are_one_paragraph(moved: Path) -> None:
    (moved / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ConfigError, match="Download it again"):
        fingerprint(moved)
