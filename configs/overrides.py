"""`--set key=value`: one value changed from the command line, by the same rules as in a file."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Union, get_args, get_origin

import orjson

from configs.errors import ConfigError
from configs.positions import KeyPath
from configs.schema import SECTIONS
from configs.suggest import homes, suggest
from states.text import one_line

_FREE = "config"  # the one key whose object is the person's own, so a path may lead into it


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value and where it goes."""

    section: str
    path: KeyPath
    value: object
    flag: str
    """What complaints call it: the option and the key as typed, never the value."""


def parse(text: str) -> Override:
    """Read `training.learning_rate=1e-4`, `learning_rate=1e-4` or `wandb.config.team=blue`; raises `ConfigError`.

    The value is JSON if it parses as JSON and a text otherwise; where only a text is wanted it is always a text.
    """
    name, separator, raw = text.partition("=")
    name = name.strip()
    flag = f"--set {one_line(name, 80)}"
    if not separator or not name:
        raise ConfigError(f"{flag}: write it as key=value, for example `--set learning_rate=1e-4`.")
    section, path = _address(name, flag)
    return Override(section=section, path=path, value=_value(section, path, raw.strip()), flag=flag)


def _address(name: str, flag: str) -> tuple[str, KeyPath]:
    section: str | None = None
    steps = name.split(".")
    if steps[0] in SECTIONS and len(steps) > 1:
        section, steps = steps[0], steps[1:]
    key = steps[0]
    where = homes(key)
    if section is None and where:
        # The only key of two sections is the window, which means the same in both.
        section = where[0]
    if section is None or section not in where:
        raise ConfigError(f"{flag}: unknown key `{one_line(name, 80)}`. {suggest(key, section)}")
    if (len(steps) > 1 and key != _FREE) or "" in steps:
        raise ConfigError(f"{flag}: `{key}` has no parts to set. Write `--set {section}.{key}=value`.")
    return section, tuple(steps)


def _value(section: str, path: KeyPath, raw: str) -> object:
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw
    wanted = SECTIONS[section].model_fields[str(path[0])].annotation
    if len(path) == 1 and value is not None and not isinstance(value, str) and _is_text(wanted):
        return raw
    return value


def _is_text(annotation: object) -> bool:
    """Whether a field takes a text, or a text or null."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return all(part is types.NoneType or _is_text(part) for part in get_args(annotation))
    return annotation is str
