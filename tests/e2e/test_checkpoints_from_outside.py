"""Checkpoints that `save_pretrained` wrote train through --base-model, and PEFT loads what comes out of that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.model.adapters import attach
from engine.model.export import read_adapter, read_spec
from engine.model.gates import Uniform
from engine.model.load import load_base
from engine.run.journal import read
from states.events import ModelLoaded

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def llama_base(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A Llama-shaped checkpoint in several shards, with tied embeddings and the tokenizer of the other one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    told = json.loads((tiny_base / "config.json").read_text())
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=told["vocab_size"],
        hidden_size=32,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="50KB")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_base / name, folder)
    return folder


@pytest.fixture(params=["mistral", "llama"])
def outside(request: pytest.FixtureRequest, tiny_base: Path, llama_base: Path) -> Path:
    """A base model's folder, of either shape."""
    return tiny_base if request.param == "mistral" else llama_base


def test_the_shapes_are_the_ones_that_matter(tiny_base: Path, llama_base: Path) -> None:
    mistral, llama = (json.loads((base / "config.json").read_text()) for base in (tiny_base, llama_base))
    assert mistral["head_dim"] != mistral["hidden_size"] // mistral["num_attention_heads"]
    assert (mistral["model_type"], llama["model_type"]) == ("mistral", "llama")
    assert len(list(llama_base.glob("model-*.safetensors"))) > 1


def test_it_trains_and_the_exported_adapter_is_the_uniform_gates_model_in_peft(
    typed: Callable[..., Any], configured: Callable[..., Path], tmp_path: Path, outside: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config, run = configured(num_train_epochs=1), tmp_path / "run"
    said = typed("--no-tui", "--config", config, "--base-model", outside)
    assert (said.code, said.err) == (0, "")
    [loaded] = [record.event for record in read(run / "events.jsonl") if isinstance(record.event, ModelLoaded)]
    assert (loaded.base_model, loaded.experts) == (str(outside), 4)

    ids = torch.arange(5, 90)[None]
    model = load_base(outside, dtype=torch.float32, device=torch.device("cpu"))
    adapted = attach(model, read_spec(run))
    read_adapter(adapted, run)
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(outside, dtype=torch.float32).eval()
        plain = base(ids).logits
        exported = PeftModel.from_pretrained(base, run).eval()(ids).logits
        routed = adapted.model(ids, use_cache=False).logits
        with adapted.routing.overridden(Uniform()):
            uniform = adapted.model(ids, use_cache=False).logits
    difference = (exported - uniform).abs().max()
    print(f"{loaded.architecture}: exported against uniform gates {difference:.1e}")
    assert difference < TOLERANCE
    assert (exported - plain).abs().max() > 100 * TOLERANCE, "it learned something"
    assert (exported - routed).abs().max() > TOLERANCE, "and routing is worth something beside it"


def lacking(base: Path, folder: Path, tensor: str) -> Path:
    """A copy of `base` whose weights lack one tensor, whatever its index says."""
    shutil.copytree(base, folder)
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        if tensors.pop(tensor, None) is not None:
            save_file(tensors, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("tensor", ["model.layers.1.self_attn.k_proj.weight", "model.norm.weight"])
def test_a_folder_that_lacks_a_tensor_is_refused_by_its_name_before_anything_is_made(
    typed: Callable[..., Any], configured: Callable[..., Path], tmp_path: Path, outside: Path, tensor: str
) -> None:
    config = configured()
    said = typed("--no-tui", "--config", config, "--base-model", lacking(outside, tmp_path / "base", tensor))
    assert (said.code, said.out) == (2, "")
    assert tensor in said.err
    assert said.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"config", "base"}


def test_a_folder_that_lacks_a_shard_is_refused_by_its_name(
    typed: Callable[..., Any], configured: Callable[..., Path], tmp_path: Path, llama_base: Path
) -> None:
    shutil.copytree(llama_base, tmp_path / "base")
    shard = sorted((tmp_path / "base").glob("model-*.safetensors"))[1]
    shard.unlink()
    said = typed("--no-tui", "--config", configured(), "--base-model", tmp_path / "base")
    assert (said.code, said.out) == (2, "")
    assert shard.name in said.err
    assert not (tmp_path / "run").exists()
