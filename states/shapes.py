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
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from states.text import clean

TypeHint = Any
"""An annotation: a class, or a generic alias, which no type describes."""
Convert = Callable[[Any], Any]
_SCALARS: Final[dict[TypeHint, tuple[type, ...]]] = {int: (int,), float: (float, int), str: (str,), bool: (bool,)}
"""Annotation -> what JSON has for it."""
_OUTLINES: Final = 256
"""Kinds of object remembered for one class: a foreign journal must not fill the memory."""


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
        return _read_tuple(args[0])
    if origin is dict:
        return _read_dict(args[1])
    if dataclasses.is_dataclass(tp) and isinstance(tp, type):
        return _read_dataclass(tp)
    if isinstance(tp, type) and issubclass(tp, Enum):
        return _read_enum(tp)
    if tp is Any:
        return lambda v: v
    return _checked(*_SCALARS[tp])


def _read_tuple(tp: TypeHint) -> Convert:
    item, is_list, plain = reader(tp), _checked(list), _plain(tp)
    if plain is None:
        return lambda v: tuple(map(item, is_list(v)))
    return lambda v: tuple(v if plain.issuperset(map(type, is_list(v))) else map(item, v))


def _read_dict(tp: TypeHint) -> Convert:
    value, is_dict, plain = reader(tp), _checked(dict), _plain(tp)
    if plain is None:
        return lambda v: {k: value(x) for k, x in is_dict(v).items()}

    def read(v: Any) -> Any:
        return v if plain.issuperset(map(type, is_dict(v).values())) else {k: value(x) for k, x in v.items()}

    return read


def _read_dataclass(cls: type[Any]) -> Convert:
    hints = get_type_hints(cls)
    fields = [(field.name, reader(hints[field.name])) for field in dataclasses.fields(cls)]
    shaped = [(name, convert) for name, convert in fields if _plain(hints[name]) is None]
    names, is_dict = {name for name, _ in fields}, _checked(dict)
    known: dict[tuple[Any, ...], list[tuple[str, Convert]]] = {}

    def read(value: Any) -> Any:
        data = is_dict(value)
        # An object with the names and types of one that was read before needs no second look at its plain values.
        outline = (*data, *map(type, data.values()))
        present = known.get(outline)
        if present is not None:
            return cls(**(data | {name: convert(data[name]) for name, convert in present} if present else data))
        try:
            # A field of a newer version is not asked for; one that an older version lacks takes its default.
            found = cls(**{name: convert(data[name]) for name, convert in fields if name in data})
        except TypeError as error:
            raise Misfit(f"{cls.__name__}: {error}") from error
        if data.keys() <= names and len(known) < _OUTLINES:
            known[outline] = [(name, convert) for name, convert in shaped if name in data]
        return found

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


def _plain(tp: TypeHint) -> frozenset[type] | None:
    """The types a value of `tp` may have where its type is all there is to check, None for any other `tp`."""
    origin, args = _parts(tp)
    if origin in (Union, types.UnionType):
        inner = _plain(_without_none(args))
        return inner and inner | {types.NoneType}
    return frozenset(_SCALARS[tp]) if tp in _SCALARS else None


def _parts(tp: TypeHint) -> tuple[TypeHint, tuple[TypeHint, ...]]:
    return get_origin(tp), get_args(tp)


def _without_none(args: tuple[TypeHint, ...]) -> TypeHint:
    (only,) = (arg for arg in args if arg is not types.NoneType)
    return only
