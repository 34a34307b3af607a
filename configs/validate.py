"""From raw values to typed sections, with each complaint in plain words and at the place where the value was stated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configs.document import a_kind
from configs.errors import ConfigError
from configs.positions import KeyPath, dotted
from configs.schema import SECTIONS, Config
from configs.suggest import suggest
from states.text import one_line

Where: TypeAlias = Callable[[KeyPath, bool], str]
"""The place to name for the value at a path, which begins with its section; True asks for its key's place."""

_SHOWN: Final = 4
"""Complaints in one message; the rest is counted."""

_EXPLAINED: Final = 32
"""Complaints put into words at all: a data set named as a configuration has one for every key, each a search."""

_WANTED: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text in double quotes",
    "string_unicode": "a text in valid UTF-8",
    "string_pattern_mismatch": "one line without control characters",
    "tuple_type": "a list in square brackets",
    "dict_type": "an object in braces",
    "model_type": "an object in braces",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "string_too_long": "at most {max_length} characters long",
    "too_long": "a list of at most {max_length}",
}


def build(data: Mapping[str, object], where: Where, *, remark: str = "") -> Config:
    """The typed configuration; raises one `ConfigError` with all complaints, each beginning with its place."""
    try:
        return Config.model_validate(dict(data))
    except ValidationError as error:
        details = error.errors(include_url=False)
        refuse([_complaint(detail, where) + remark for detail in details[:_EXPLAINED]], more=len(details[_EXPLAINED:]))
        raise


def refuse(complaints: Sequence[str], *, more: int = 0) -> None:
    """Raise one `ConfigError` for all complaints, if there are any; `more` were found and not put into words."""
    different = list(dict.fromkeys(complaints))  # one flag may feed two sections
    if not different:
        return
    message = " Also, ".join(different[:_SHOWN])
    if (left := more + len(different[_SHOWN:])) > 0:
        message += f" And {left} more."
    raise ConfigError(message)


def _complaint(detail: ErrorDetails, where: Where) -> str:
    path: KeyPath = detail["loc"]
    unknown = detail["type"] == "extra_forbidden"
    section = str(path[0]) if path and path[0] in SECTIONS else None
    place, name = where(path, unknown), one_line(dotted(path[1:] if section and len(path) > 1 else path), 80)
    if unknown:
        return f"{place}: unknown key `{name}`. {suggest(str(path[-1]), section)}"
    if detail["type"] == "missing":
        return f"{place}: `{name}` is missing. Add it; `run.py config schema` says what it means."
    if detail["type"] in ("string_too_short", "too_short"):
        return f"{place}: `{name}` must not be empty."
    wanted = _WANTED.get(detail["type"])
    limits = {key: _plain(value) for key, value in detail.get("ctx", {}).items()}
    text = wanted.format(**limits) if wanted else f"valid ({detail['msg']})"
    return f"{place}: `{name}` must be {text}, not {_quoted(detail['input'])}.{_unquote(detail)}"


def _plain(limit: object) -> object:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _unquote(detail: ErrorDetails) -> str:
    """The commonest slip: a number or a truth value between quotes."""
    if detail["type"] not in ("int_type", "float_type", "bool_type") or not isinstance(detail["input"], str):
        return ""
    try:
        value = orjson.loads(detail["input"])
    except orjson.JSONDecodeError:
        return ""
    return " Remove the quotes." if isinstance(value, int | float) else ""


def _quoted(value: object) -> str:
    """The value as JSON if that is short, else what kind of thing it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        return a_kind(value)
    if isinstance(value, str):
        return f"the text {one_line(text, 60)}"
    return text if len(text) <= 30 else a_kind(value)
