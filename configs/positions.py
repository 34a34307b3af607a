"""Where each key and value of a JSON text stands, so that a complaint about a value can name its line and column.

JSON parsers throw positions away once the text parses; this second walk over text that is known to be valid keeps them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import orjson

KeyPath: TypeAlias = tuple[str | int, ...]
"""The keys and list indices that lead to a value: `("config", "tags", 0)`."""

_LEXEME: Final = re.compile(r'"(?:[^"\\]+|\\.)*+"|[\[\]{},:]|[^\s"\[\]{},:]+')
_INTEGER: Final = re.compile(r"-?\d+")
_LONGEST_INT64: Final = len(str(-(2**63)))


def dotted(path: KeyPath) -> str:
    """`config.layers[0]` for ("config", "layers", 0)."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A key that an object states twice; JSON parsers silently keep the last."""

    path: KeyPath
    first: int
    second: int


@dataclass(slots=True, kw_only=True)
class Places:
    """Offsets into one text, by path."""

    text: str
    values: dict[KeyPath, int] = field(default_factory=dict)
    keys: dict[KeyPath, int] = field(default_factory=dict)
    """Where the key that leads to a path's value stands; list items have none."""
    repeats: list[Repeat] = field(default_factory=list)
    oversized: list[KeyPath] = field(default_factory=list)
    """Whole numbers that do not fit 64 bits: parsers turn them into floats and lose digits."""
    _line_starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", self.text))]

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1, columns in characters."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def nearest(self, path: KeyPath, *, key: bool = False) -> int:
        """Offset of the value at a path (or of its key), or of the closest thing around it that exists."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, 0)


@dataclass(slots=True)
class _Open:
    """A bracket not yet closed: where the walk is inside an object or a list."""

    path: KeyPath
    keys: dict[str, int] | None  # None in a list
    step: str | int = 0  # key or index of the value that comes next
    key_next: bool = True


def places(text: str) -> Places:
    """The positions in a text that a JSON parser has accepted."""
    found = Places(text=text)
    stack: list[_Open] = []
    for match in _LEXEME.finditer(text):
        lexeme, offset = match[0], match.start()
        here = stack[-1] if stack else None
        if lexeme in "]}":
            stack.pop()
        elif lexeme == ":":
            pass
        elif lexeme == ",":
            if here is not None and here.keys is None and isinstance(here.step, int):
                here.step += 1
            elif here is not None:
                here.key_next = True
        elif here is not None and here.keys is not None and here.key_next:
            _enter_key(found, here, here.keys, lexeme, offset)
        else:
            path = () if here is None else (*here.path, here.step)
            found.values[path] = offset
            if lexeme in "[{":
                stack.append(_Open(path, {} if lexeme == "{" else None))
            elif _INTEGER.fullmatch(lexeme) and not _fits_int64(lexeme):
                found.oversized.append(path)
    return found


def _enter_key(found: Places, here: _Open, keys: dict[str, int], lexeme: str, offset: int) -> None:
    key = orjson.loads(lexeme)
    found.keys.setdefault((*here.path, key), offset)
    if key in keys:
        found.repeats.append(Repeat(path=(*here.path, key), first=keys[key], second=offset))
    keys.setdefault(key, offset)
    here.step = key
    here.key_next = False


def _fits_int64(digits: str) -> bool:
    # The length is asked first: Python refuses to convert very long digit strings.
    return len(digits) <= _LONGEST_INT64 and -(2**63) <= int(digits) < 2**63
