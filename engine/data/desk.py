"""What the dataset commands stand on: the file, the configuration whose settings count, and its tokenizer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from configs.errors import UsageError
from configs.load import demo_dir, find, load, locate
from configs.schema import Config
from engine.plan.profile import apply_profile
from states.text import one_line

_TOKENIZER_FILES: Final = ["config.json", "tokenizer*", "special_tokens_map.json", "*.jinja", "vocab*", "merges.txt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A data set under the settings of one configuration."""

    file: Path
    config: Config
    settings: str
    """Where the settings come from, in words."""


def one_file(positional: Path | None, option: Path | None) -> Path | None:
    """The file that was named, in either way; raises `UsageError` when both were."""
    if positional is not None and option is not None and positional != option:
        raise UsageError(f"{positional} and --dataset {option} name two files: give one of them.")
    return positional if positional is not None else option


def settle(file: Path | None, config: Path | None, base_model: str | None) -> Desk:
    """The configuration a run on this file would have; without a file, its own. Raises `ConfigError`."""
    directory = locate(str(config)) if config is not None else find(Path.cwd()) or demo_dir()
    settings = "the built-in demo" if directory == demo_dir() else str(directory / "training_config.json")
    loaded = load(directory, base_model=base_model)
    if file is not None and Path(loaded.training.dataset) != file.absolute():
        # The validation file of a configuration belongs to its own data, so another file holds out a part of itself.
        loaded = load(
            directory,
            base_model=base_model,
            dataset=str(file),
            overrides=("training.validation_dataset=null", "moe.domains=null"),
        )
    settled, _ = apply_profile(loaded)
    return Desk(file=file or Path(settled.training.dataset), config=settled, settings=settings)


def tokenizer(config: Config) -> Any:
    """The base model's tokenizer; of a base that must be downloaded only its small files are. Raises `ConfigError`."""
    from engine.model.folder import require_chat_template
    from engine.model.load import load_tokenizer
    from engine.model.resolve import resolve

    training = config.training
    template = None if training.chat_template is None else Path(training.chat_template)
    source = resolve(training.base_model)
    if isinstance(source, str):
        source = _small_files(source)
    else:
        require_chat_template(source, template)
    return load_tokenizer(source, template)


def _small_files(name: str) -> Path:
    from huggingface_hub import snapshot_download

    from configs.errors import ConfigError
    from engine.model.quiet import hush

    hush()
    try:
        return Path(snapshot_download(name, allow_patterns=_TOKENIZER_FILES))
    except Exception as error:
        # Errors of the hub client, of its HTTP library and of the file system all mean the same here.
        raise ConfigError(
            f"The tokenizer of {name} could not be downloaded: {type(error).__name__}: {error}. Check the name, and "
            f"whether it needs a login; or name a local folder with --base-model."
        ) from error


QUIET_S = 0.5
"""What takes no longer needs no counter, which would only flash."""


def progress_line() -> Callable[[str, int, int], None]:
    """A counter on a terminal's last line; silent for what is quick, and where standard error is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return lambda task, done, total: None
    shown: int | None = None
    began = time.monotonic()

    def hear(task: str, done: int, total: int) -> None:
        nonlocal shown
        share = 100 if done >= total else int(100 * done / total)
        if shown is None and (done >= total or time.monotonic() - began < QUIET_S):
            return
        if done < total and share == shown:
            return
        shown = share
        end = "\r\x1b[K" if done >= total else ""
        sys.stderr.write(f"\r\x1b[K{one_line(task, 60)}: {done:,} of {total:,} ({share}%){end}")
        sys.stderr.flush()

    return hear
