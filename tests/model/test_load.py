"""Loading accounts for every tensor, runs nobody's code and says nothing on the terminal."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from configs.errors import ConfigError
from engine.model.load import choose_device, choose_dtype, fetch, load_base, load_tokenizer
from engine.model.shape import blocks
from tests.model.conftest import FAMILIES, TEMPLATE, tiny

CPU = torch.device("cpu")


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What transformers logs, from its default verbosity on; its own handler writes past pytest's capture."""
    transformers.utils.logging.set_verbosity_warning()
    transformers.utils.logging.enable_progress_bar()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("transformers").addHandler(handler)
    yield stream
    logging.getLogger("transformers").removeHandler(handler)


@pytest.fixture
def copy(bases: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bases["qwen3"], tmp_path / "base"))


def load(folder: Path):
    return load_base(folder, dtype=torch.float32, device=CPU)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_loads_frozen_without_cache_and_in_silence(
    bases: dict[str, Path], family: str, logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    model = load(bases[family])
    assert model.config.use_cache is False
    assert model.config._attn_implementation == "sdpa"
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert (capfd.readouterr(), logged.getvalue()) == (("", ""), "")
    expected = tiny(family).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_the_dtype_is_the_one_asked_for(bases: dict[str, Path]) -> None:
    model = load_base(bases["mistral"], dtype=torch.bfloat16, device=CPU)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_a_missing_tensor_is_named_and_not_started_at_random(
    copy: Path, logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "model.layers.1.self_attn.q_norm.weight"
    tensors = load_file(copy / "model.safetensors")
    del tensors[name]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=name):
        load(copy)
    assert (capfd.readouterr(), logged.getvalue()) == (("", ""), "")


def test_an_unexpected_tensor_is_named_and_a_known_harmless_one_is_not(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    load(copy)
    tensors["model.layers.0.mlp.extra.weight"] = torch.zeros(4)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"model\.layers\.0\.mlp\.extra\.weight"):
        load(copy)


def test_a_tensor_of_another_shape_is_named(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(47, 32)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"model.layers.0.mlp.up_proj.weight of shape \(47, 32\).*\(48, 32\)"):
        load(copy)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50))
    with pytest.raises(ConfigError, match=r"GPT2LMHeadModel without model\.layers"):
        blocks(model)


def test_a_head_that_does_more_than_multiply_is_refused() -> None:
    model = tiny("llama")
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ConfigError, match="final_logit_softcapping"):
        blocks(model)


def test_the_tokenizer_brings_its_template_or_takes_the_users(copy: Path, tmp_path: Path) -> None:
    assert load_tokenizer(copy).chat_template == TEMPLATE
    mine = tmp_path / "mine.jinja"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_tokenizer(copy, mine)
    mine.write_text("mine")
    assert load_tokenizer(copy, mine).chat_template == "mine"
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="--chat-template FILE"):
        load_tokenizer(copy)
    assert load_tokenizer(copy, mine).chat_template == "mine"


def test_a_download_that_fails_is_one_paragraph(monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    def broken(*_args: object, **_kwargs: object) -> str:
        raise OSError("401 Client Error\nlong story")

    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    with pytest.raises(ConfigError, match="owner/model could not be downloaded") as caught:
        fetch("owner/model")
    assert "\n" not in caught.value.message
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_a, **_k: str(copy))
    assert fetch("owner/model") == copy
    (copy / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        fetch("owner/model")


def test_auto_picks_what_the_machine_has() -> None:
    assert choose_dtype("auto", CPU) is torch.float32
    assert choose_dtype("auto", torch.device("cuda", 0)) is torch.bfloat16
    assert choose_dtype("bfloat16", CPU) is torch.bfloat16
    assert choose_device("cpu") == CPU


def test_cuda_without_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match="no CUDA device"):
        choose_device("cuda")
