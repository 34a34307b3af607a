"""A configuration written down and read back exactly, and what makes two of them the same training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from configs.checks import check
from configs.errors import ConfigError
from configs.schema import SECTIONS, Config
from configs.settle import HOURS
from configs.suggest import keys
from configs.validate import build
from states.text import one_line

LIVE: Final = frozenset(
    {
        *(f"wandb.{key}" for key in keys("wandb")),
        *(f"safety.{key}" for key in keys("safety") if key != "max_grad_norm"),
        "training.output_dir",
        "training.eval_steps",
        "training.save_total_limit",
        "training.logging_steps",
        "training.max_training_hours",
        "training.gradient_checkpointing",
        "training.device",
    }
)
"""Keys that may change between two starts of one run: where, when and how long, not what a step computes."""

MATHEMATICS: Final = tuple(
    f"{section}.{key}" for section in SECTIONS for key in keys(section) if f"{section}.{key}" not in LIVE
)
"""Keys that change what is learned, in the order of the files. The data's content is hashed where the data is read."""


def resolved(config: Config) -> dict[str, Any]:
    """The whole configuration as JSON-able values; `from_resolved` gives back an equal one."""
    return config.model_dump(mode="json")


def from_resolved(data: object, *, name: str = "config.resolved.json") -> Config:
    """The configuration a run recorded; raises `ConfigError` if the record is not one."""
    if not isinstance(data, dict):
        raise ConfigError(f"{name} does not hold a configuration. The record was changed by hand.")
    remark = " The record was changed by hand or written by another version."
    return build(data, lambda path, _: f"{name} ({path[0]})" if path else name, remark=remark)


def adjusted(config: Config, changes: Mapping[str, object], *, by: str) -> Config:
    """The configuration with some `section.key` values replaced, checked like the first; `by` becomes their source."""
    sections: dict[str, dict[str, Any]] = {section: dict(getattr(config, section)) for section in SECTIONS}
    both = {
        f"{section}.{HOURS}": changes[key]
        for key in changes
        if key.endswith(f".{HOURS}")
        for section in ("training", "safety")
    }
    source = dict(config.source)
    for key, value in {**changes, **both}.items():
        section, _, name = key.partition(".")
        sections[section][name] = value
        source[key] = by
    result = build({**sections, "source": source}, lambda *_: by)
    check(result)
    return result


def refreshed(recorded: Config, current: Config) -> Config:
    """A recorded run's mathematics with the `LIVE` settings of the files and flags of this start."""
    changes = {key: _value(current, key) for key in LIVE}
    result = adjusted(recorded, changes, by="")
    source = {key: place for key, place in recorded.source.items() if key not in LIVE}
    source |= {key: place for key, place in current.source.items() if key in LIVE}
    return result.model_copy(update={"source": source})


def config_hash(config: Config) -> str:
    """64 hexadecimal digits over the `MATHEMATICS`: equal for two starts that would compute the same steps."""
    values = {key: _value(config, key) for key in MATHEMATICS}
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()


def differences(old: Config, new: Config) -> tuple[str, ...]:
    """What keeps two configurations from being the same training, one `section.key: old -> new` each."""
    pairs = ((key, _value(old, key), _value(new, key)) for key in MATHEMATICS)
    return tuple(f"{key}: {_short(before)} -> {_short(after)}" for key, before, after in pairs if before != after)


def _value(config: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def _short(value: object) -> str:
    return one_line(orjson.dumps(value).decode(), 80)
