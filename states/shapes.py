"""How typed values become plain JSON values and come back, worked out once per type from its annotations.

Writing cleans text and turns a float that is not finite into null where the type admits `None`. Reading checks every
value against its type and turns lists into tuples, strings into enums and objects into dataclasses.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from states.text import clean

TypeHint = Any
"""An annotation: a class, or a generic alias, which no type describes."""
Convert = Callable[[Any], Any]


class Misfit(ValueError):  # noqa: N818  (a value that does not fit its type)
    """The value does not fit the type it is meant for."""


def writer(tp: TypeHint) -> Convert:
    """A function from a `tp` to plain JSON values. Raises `Misfit` for a float that is not finite and must be there."""
    origin, args = _parts(tp)
    if origin in (Union, types.UnionType):
        inner = writer(_without_none(args))
        finite_or_null = float in args
        return lambda v: None if v is None or (finite_or_null and not math.isfinite(v)) else inner(v)
    if origin is tuple:
        item = writer(args[0])
        return lambda v: [item(x) for x in v]
    if origin is dict:
        value = writer(args[1])
        return lambda v: {clean(k): value(x) for k, x in v.items()}
    if dataclasses.is_dataclass(tp):
        hints = get_type_hints(tp)
        fields = [(field.name, writer(hints[field.name])) for field in dataclasses.fields(tp)]
        return lambda v: {name: write(getattr(v, name)) for name, write in fields}
    return write_any if tp is Any else _write_scalar


def write_any(value: Any) -> Any:
    """Untyped content (a configuration, command arguments) made plain, with the same care."""
    if isinstance(value, dict):
        return {clean(str(k)): write_any(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [write_any(v) for v in value]
    return _write_scalar(value)


def _write_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value if isinstance(value, Enum) else clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Misfit(f"{value} is not a finite number")
    return value


def reader(tp: TypeHint) -> Convert:
    """A function from plain JSON values to a `tp`. Raises `Misfit` where a value has another type."""
    origin, args = _parts(tp)
    if origin in (Union, types.UnionType):
        inner = reader(_without_none(args))
        return lambda v: None if v is None else inner(v)
    if origin is tuple:
        item, is_list = reader(args[0]), _checked(list)
        return lambda v: tuple(map(item, is_list(v)))
    if origin is dict:
        value, is_dict = reader(args[1]), _checked(dict)
        return lambda v: {k: value(x) for k, x in is_dict(v).items()}
    if dataclasses.is_dataclass(tp) and isinstance(tp, type):
        return _read_dataclass(tp)
    if isinstance(tp, type) and issubclass(tp, Enum):
        return _read_enum(tp)
    if tp is Any:
        return lambda v: v
    return _checked(float, int) if tp is float else _checked(tp)


def _read_dataclass(cls: type[Any]) -> Convert:
    hints = get_type_hints(cls)
    fields = [(field.name, reader(hints[field.name])) for field in dataclasses.fields(cls)]
    is_dict = _checked(dict)

    def read(value: Any) -> Any:
        data = is_dict(value)
        try:
            # A field of a newer version is not asked for; one that an older version lacks takes its default.
            return cls(**{name: convert(data[name]) for name, convert in fields if name in data})
        except TypeError as error:
            raise Misfit(f"{cls.__name__}: {error}") from error

    return read


def _read_enum(cls: type[Enum]) -> Convert:
    def read(value: Any) -> Any:
        try:
            return cls(value)
        except ValueError as error:
            raise Misfit(f"{value!r} is no {cls.__name__}") from error

    return read


def _checked(*accepted: type) -> Convert:
    # `type(v) in`, not isinstance: True must not pass for the integer 1.
    def check(value: Any) -> Any:
        if type(value) not in accepted:
            raise Misfit(f"{accepted[0].__name__} expected, not {type(value).__name__}")
        return value

    return check


def _parts(tp: TypeHint) -> tuple[TypeHint, tuple[TypeHint, ...]]:
    return get_origin(tp), get_args(tp)


def _without_none(args: tuple[TypeHint, ...]) -> TypeHint:
    (only,) = (arg for arg in args if arg is not types.NoneType)
    return only
