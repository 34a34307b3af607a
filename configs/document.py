"""One configuration file, read with every check that needs its text; each refusal names file:line:col."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from configs.errors import ConfigError
from configs.jsonc import JsoncError, plain
from configs.positions import KeyPath, Places, places

MAX_BYTES: Final = 4 * 1024 * 1024
"""A configuration is a page or two. A data set named by mistake should not be read into memory to say so."""

_BOM: Final = b"\xef\xbb\xbf"
_HINTS: Final = {
    "'": "texts are written between double quotes",
    "#": "comments begin with // in these files",
    "N": "numbers must be finite; null means 'not set'",
    "I": "numbers must be finite",
    "T": "write true, in small letters",
    "F": "write false, in small letters",
    "=": "a key and its value are separated by a colon",
    ";": "entries are separated by commas",
    "\n": "the text is not closed on its line",
    "\t": "inside a text a tab is written \\t",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file's content and where each part of it stands."""

    name: str
    """The path as a person would type it."""
    data: dict[str, object]
    places: Places

    def where(self, path: KeyPath, *, key: bool = False) -> str:
        """`file:line:col` of the value at a path (or of its key), or of the closest thing around it."""
        line, column = self.places.line_column(self.places.nearest(path, key=key))
        return f"{self.name}:{line}:{column}"


def read(path: Path) -> Document:
    """Read one JSON file with comments; raises `ConfigError` for anything but one object of unrepeated keys."""
    name = shown(path)
    text = _text(name, _bytes(name, path))
    try:
        bare = plain(text)
    except JsoncError as error:
        raise ConfigError(f"{_at(name, text, error.offset)}: {error.problem}.") from None
    if not bare.strip():
        raise ConfigError(f"{name}:1:1: the file is empty. Write at least {{}}, or remove it.")
    try:
        data = orjson.loads(bare)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{_at(name, text, error.pos)}: this is not valid JSON: {_problem(bare, error)}.") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{_at(name, bare, len(bare) - len(bare.lstrip()))}: the file must hold one object, "
            f'{{ "key": value, ... }}, and it holds {a_kind(data)}.'
        )
    document = Document(name=name, data=data, places=places(bare))
    _refuse_ambiguity(document)
    return document


def shown(path: Path) -> str:
    """A path relative to the working directory where it lies below it, else as it is."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def a_kind(value: object) -> str:
    """What a JSON value is, in words: 'a text', 'a list', 'a whole number'."""
    kinds = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "null" if value is None else "something else")


def _bytes(name: str, path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{name} is not a regular file. Put a JSON file in its place.")
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{name} cannot be read: {reason}. Check its path and permissions.") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {MAX_BYTES // 1024**2} MiB, which no configuration is. "
            "Data belongs in a file of its own, named by the key `dataset`."
        )
    return raw


def _without_waiting(path: str, flags: int) -> int:
    """Open a named pipe like a file, so that it can be refused, instead of waiting for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _text(name: str, raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{name}:1:1: the file is UTF-16. Save it as UTF-8 without a byte order mark.")
    if raw.startswith(_BOM):
        raise ConfigError(
            f"{name}:1:1: the file begins with a byte order mark, which JSON does not allow. "
            "Save it as UTF-8 without one ('UTF-8', not 'UTF-8 with BOM')."
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        raise ConfigError(
            f"{_at(name, before, len(before))}: byte 0x{raw[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from None


def _at(name: str, text: str, offset: int) -> str:
    line, column = Places(text=text).line_column(offset)
    return f"{name}:{line}:{column}"


def _problem(bare: str, error: orjson.JSONDecodeError) -> str:
    if error.pos >= len(bare.rstrip()):
        return "it ends in the middle; a bracket or a quote is not closed"
    hint = _HINTS.get(bare[error.pos]) or ("a comma is missing before this" if "','" in error.msg else "")
    return f"{error.msg}; {hint}" if hint else error.msg


def _refuse_ambiguity(document: Document) -> None:
    """Refuse what parsers settle silently: of a repeated key the last wins, a number of too many digits is rounded."""
    for repeat in document.places.repeats:
        first, _ = document.places.line_column(repeat.first)
        line, column = document.places.line_column(repeat.second)
        raise ConfigError(
            f"{document.name}:{line}:{column}: `{repeat.path[-1]}` is stated twice; the first is on line {first}. "
            "Keep one of the two."
        )
    for path in document.places.oversized:
        raise ConfigError(f"{document.where(path)}: this whole number does not fit 64 bits. Write a smaller one.")
