"""Whether a folder holds a base model that can be trusted and used, decided before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from engine.model.headers import read_json, tensor_names
from engine.model.spec import ATTENTION, FFN


def check_folder(folder: Path) -> Path:
    """Return `folder` when it holds a configuration, every weight its layers need, and a tokenizer.

    Raises:
        ConfigError: something is missing, cut short, or would run code; the message names it and the remedy.
    """
    config = _checked_config(folder)
    held = tensor_names(folder)
    for name in _needed(config, folder):
        if name not in held:
            _refuse_architecture(config, held, folder)
            raise ConfigError(
                f"{folder} lacks the tensor {name}: the model would start it at random. Download it again, or save it "
                "again with save_pretrained."
            )
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise ConfigError(
            f"{folder} has no tokenizer: neither tokenizer.json nor tokenizer.model. Copy the tokenizer files of the "
            "base model there."
        )
    if (folder / "tokenizer_config.json").is_file():
        _refuse_code(read_json(folder / "tokenizer_config.json"), folder / "tokenizer_config.json")
    return folder


def require_chat_template(folder: Path, override: Path | None = None) -> None:
    """Check that there is a chat template: a file of the user's, or one beside the tokenizer.

    Raises:
        ConfigError: there is none, or the user's file cannot be read.
    """
    if override is not None:
        if not override.is_file():
            raise ConfigError(f"There is no chat template at {override}. Name an existing Jinja file.")
        return
    if (folder / "chat_template.jinja").is_file():
        return
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (folder / name).is_file() and read_json(folder / name).get("chat_template"):
            return
    raise ConfigError(missing_template(str(folder)))


def missing_template(where: str) -> str:
    """What to say, and to do, when a base has no chat template."""
    return (
        f"The tokenizer of {where} has no chat template, so conversations cannot be rendered the way the model was "
        "taught. Use the instruct version of the base, or give its template with --chat-template FILE."
    )


def _checked_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"{folder} has no config.json, so it is not a model folder. Name a folder that has one.")
    config = read_json(path)
    _refuse_code(config, path)
    if not isinstance(config.get("model_type"), str):
        raise ConfigError(f"{path} has no model_type, so it does not say which architecture it is.")
    return config


def _refuse_architecture(config: dict[str, Any], held: frozenset[str], folder: Path) -> None:
    """Say that it is another architecture, rather than that a tensor of ours is missing."""
    if not any(re.fullmatch(r"model\.layers\.\d+\.self_attn\.[qkvo]_proj\.weight", name) for name in held):
        raise ConfigError(
            f"The base model in {folder} is of the type {config['model_type']}, without layers that Stint knows. "
            "Supported are decoders shaped like Mistral, Llama, Qwen2 and Qwen3."
        )


def _refuse_code(config: dict[str, Any], path: Path) -> None:
    for key in _keys(config):
        if key == "auto_map" or key.endswith("_internal"):
            raise ConfigError(
                f"{path} has the key {key}, which makes a library run code of the model's author. Stint does not; use "
                "a version of the model without it."
            )


def _keys(value: object) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield from (str(key) for key in item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _needed(config: dict[str, Any], folder: Path) -> Iterator[str]:
    """Tensors every supported architecture has; the loader accounts for the rest."""
    num_layers = config.get("num_hidden_layers")
    if type(num_layers) is not int or not 1 <= num_layers <= 10_000:
        raise ConfigError(f"{folder / 'config.json'} must state num_hidden_layers as a whole number of at least 1.")
    yield "model.embed_tokens.weight"
    for layer in range(num_layers):
        yield from (f"model.layers.{layer}.self_attn.{name}.weight" for name in ATTENTION)
        yield from (f"model.layers.{layer}.mlp.{name}.weight" for name in FFN)
        yield from (f"model.layers.{layer}.{name}.weight" for name in ("input_layernorm", "post_attention_layernorm"))
    yield "model.norm.weight"
    if config.get("tie_word_embeddings") is False:
        yield "lm_head.weight"
