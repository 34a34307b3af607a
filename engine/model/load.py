"""Loading the base and its tokenizer: safetensors only, no code from the model's author, every tensor accounted for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from configs.errors import ConfigError
from engine.model.download import FILES, LEFT_OUT
from engine.model.folder import check_folder, missing_template
from engine.model.quiet import hush
from engine.model.shape import blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HARMLESS = re.compile(r"(^|\.)rotary_emb\.inv_freq$")
"""Saved by old releases of transformers and computed from the configuration since."""


def choose_device(name: str = "auto") -> torch.device:
    """`auto` is the first CUDA device where there is one.

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError('device is "cuda", but torch sees no CUDA device here. Set device to "auto" or "cpu".')
    return torch.device("cuda", 0) if name == "cuda" else torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on CUDA and float32 on a CPU, where bfloat16 is emulated and slower."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def fetch(source: Path | str) -> Path:
    """The local folder of a resolved source; a hub id is downloaded and then checked like any folder.

    Raises:
        ConfigError: the download failed or what came is not usable.
    """
    if isinstance(source, Path):
        return source
    from huggingface_hub import snapshot_download

    hush()
    try:
        folder = Path(snapshot_download(source, allow_patterns=list(FILES), ignore_patterns=list(LEFT_OUT)))
    except Exception as error:
        # Errors of the hub client, of its HTTP library and of the file system all mean the same here.
        raise ConfigError(
            f"The base model {source} could not be downloaded: {type(error).__name__}: {error}. Check the name, and "
            f"whether it needs a login; `hf download {source}` shows more."
        ) from error
    return check_folder(folder)


def load_base(source: Path | str, *, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The frozen base on its device, in evaluation mode, with torch's attention and without a cache.

    Raises:
        ConfigError: a tensor is missing, has the wrong shape or is unknown, or the architecture is not supported.
    """
    from transformers import AutoModelForCausalLM

    folder = fetch(source)
    hush()
    placement: dict[str, Any] = {} if device.type == "cpu" else {"device_map": {"": device}}
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation="sdpa",
            ignore_mismatched_sizes=True,  # reported below by name, instead of raised without one
            output_loading_info=True,
            **placement,
        )
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"The base model in {folder} cannot be loaded: {error}") from error
    _account(folder, info)
    blocks(model)
    model.config.use_cache = False
    model.requires_grad_(requires_grad=False)
    model.eval()
    return model


def load_tokenizer(source: Path | str, chat_template: Path | None = None) -> PreTrainedTokenizerBase:
    """The base's tokenizer with a chat template, the user's file before the base's own.

    Raises:
        ConfigError: there is no chat template, or a file cannot be used.
    """
    from transformers import AutoTokenizer

    folder = fetch(source)
    hush()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(f"The tokenizer in {folder} cannot be loaded: {error}") from error
    if chat_template is not None:
        try:
            tokenizer.chat_template = chat_template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The chat template {chat_template} cannot be read: {error}.") from error
    if not tokenizer.chat_template:
        raise ConfigError(missing_template(str(folder)))
    return tokenizer


def _account(folder: Path, info: dict[str, Any]) -> None:
    """Every key of the model came from the files, and every key of the files went into the model."""
    missing = sorted(info["missing_keys"])
    mismatched = sorted(info["mismatched_keys"])
    unexpected = sorted(key for key in info["unexpected_keys"] if not _HARMLESS.search(key))
    if missing:
        raise ConfigError(f"{folder} lacks {_some(missing)}: the model would start it at random. Download it again.")
    if mismatched:
        name, held, expected = mismatched[0]
        raise ConfigError(
            f"{folder} has {name} of shape {tuple(held)}, its config.json asks for {tuple(expected)}. The files do not "
            "belong together; download them again."
        )
    if unexpected:
        raise ConfigError(
            f"{folder} has {_some(unexpected)}, which its architecture does not use. Is it another model?"
        )
    if info["error_msgs"]:
        raise ConfigError(f"The base model in {folder} cannot be loaded: {info['error_msgs'][0]}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the tensor {names[0]}{more}"
