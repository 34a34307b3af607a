"""From a directory and a command line to one `Config`: files, environment, flags, in rising order of authority."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from configs.checks import check
from configs.draft import Draft, read_directory
from configs.errors import ConfigError
from configs.overrides import parse
from configs.schema import FILES, Config, TrainingConfig
from configs.settle import HOURS, settle_hours, settle_wandb_mode
from configs.validate import build

_ROOM: Final = Path(__file__).parent
DEMO: Final = "demo"
WAYFARER: Final = "wayfarer-12b-h100"
PRESETS: Final = (DEMO, WAYFARER)


def load(
    directory: Path,
    *,
    overrides: Sequence[str] = (),
    base_model: str | None = None,
    dataset: str | None = None,
    chat_template: str | None = None,
    output_dir: str | None = None,
    hours: float | None = None,
    hours_flag: str = "--hours",
    environment: Mapping[str, str] = os.environ,
) -> Config:
    """Read the four files of a directory, lay `--set` and the flags over them, and check the whole.

    Relative inputs (`base_model`, `dataset`, ...) resolve against the directory if a file states them and against the
    working directory if the command line does; `output_dir` always resolves against the working directory.
    Nothing is written and no data is opened. Raises `ConfigError`.
    """
    draft = read_directory(directory)
    flags = {"base_model": base_model, "dataset": dataset, "chat_template": chat_template, "output_dir": output_dir}
    for override in map(parse, overrides):
        draft.state(override.section, override.path, override.value, override.flag)
    for key, value in flags.items():
        if value is not None:
            draft.state("training", (key,), value, f"--{key.replace('_', '-')}")
    settle_hours(draft, hours, hours_flag)
    settle_wandb_mode(draft, environment)
    config = _typed(draft)
    check(config)
    return config


def find(directory: Path) -> Path | None:
    """The directory itself if it holds a training_config.json, else None: the caller falls back to the demo."""
    return directory if os.path.lexists(directory / FILES["training"]) else None


def demo_dir() -> Path:
    """The built-in demo's configuration."""
    return preset_dir(DEMO)


def preset_dir(name: str) -> Path:
    """The directory of a preset that comes with the program; raises `ConfigError` for any other name."""
    if name not in PRESETS:
        raise ConfigError(f"There is no preset `{name}`. The presets are: {', '.join(PRESETS)}.")
    return _ROOM / name


def locate(text: str) -> Path:
    """What `--config` names: a directory, the training_config.json inside one, or a preset."""
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    if os.path.isfile(path) and path.name == FILES["training"]:
        return path.parent
    if text in PRESETS and not os.path.isdir(path):
        return preset_dir(text)
    return path


def _typed(draft: Draft) -> Config:
    config = build(
        {**draft.data, "source": draft.sources()}, lambda path, key: draft.where(str(path[0]), path[1:], key=key)
    )
    training = _absolute(config.training, draft)
    safety = config.safety.model_copy(update={HOURS: training.max_training_hours})
    return config.model_copy(update={"training": training, "safety": safety})


def _absolute(training: TrainingConfig, draft: Draft) -> TrainingConfig:
    """The same section with every path absolute; a base model that is no folder here stays a hub id."""
    paths: dict[str, str] = {"output_dir": _join(Path.cwd(), training.output_dir)}
    for key in ("dataset", "validation_dataset", "chat_template", "base_model"):
        value: str | None = getattr(training, key)
        if value is None:
            continue
        base = Path.cwd() if ("training", key) in draft.stated else draft.directory.absolute()
        joined = _join(base, value)
        if key != "base_model" or value.startswith(("/", "./", "../", "~")) or os.path.isdir(joined):
            paths[key] = joined
    return training.model_copy(update=paths)


def _join(base: Path, text: str) -> str:
    expanded = os.path.expanduser(text) if text == "~" or text.startswith("~/") else text
    return os.path.abspath(base / expanded)
