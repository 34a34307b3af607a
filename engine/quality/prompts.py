"""A file of things that clients say, in the shapes people have: strings, test cases, or whole conversations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from configs.errors import DataError
from engine.data.conversation import Role, Turn
from engine.data.document import BadLine, read_bytes, read_rows
from engine.data.rows import RowError, kind_of, parse_row

_CASES: Final = ("test_cases", "prompts")
_WORDS: Final = ("prompt", "input", "question", "client")
_CONVERSATION: Final = frozenset({"messages", "conversations", "text"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What stands before a reply; the last turn is the client's."""

    row: int
    """Where a person finds it, from 1."""
    turns: tuple[Turn, ...]


def read_cases(path: Path) -> list[Case]:
    """The cases of a file, in order; a conversation is answered at its last client turn. Raises `DataError`."""
    if not path.exists():
        raise DataError(f"There is no test file at {path}. Correct --test-file.")
    unit, rows = _rows(path, read_bytes(path))
    if not rows:
        raise DataError(f"{path} holds no prompts: the list is empty.")
    cases = []
    for number, row in rows:
        try:
            cases.append(Case(row=number, turns=case_turns(row)))
        except RowError as error:
            raise DataError(f"{path}: {unit} {number}: {error}.") from None
    return cases


def case_turns(row: object) -> tuple[Turn, ...]:
    """The turns of one case, up to the client's last. Raises `RowError`."""
    if isinstance(row, BadLine):
        raise RowError(f"column {row.column}: {row.what}")
    if isinstance(row, str):
        return spoken(row)
    if isinstance(row, dict):
        named = next((name for name in _WORDS if isinstance(row.get(name), str)), None)
        if named is not None and not _CONVERSATION.intersection(row):
            return spoken(row[named])
        if other := next((name for name in _WORDS if name in row and not _CONVERSATION.intersection(row)), None):
            raise RowError(f'"{other}" is {kind_of(row[other])}, expected a client\'s words')
        turns = parse_row(row).turns
        last = max((place for place, turn in enumerate(turns) if turn.role is Role.CLIENT), default=None)
        if last is None:
            raise RowError("it has no client turn that could be answered")
        return turns[: last + 1]
    raise RowError(f"it is {kind_of(row)}, expected a client's words or a conversation")


def spoken(text: str) -> tuple[Turn, ...]:
    """A client's words as a conversation. Raises `RowError` where there are none."""
    if not text.strip():
        raise RowError("it is empty, so there is nothing to answer")
    return (Turn(role=Role.CLIENT, text=text.strip()),)


def _rows(path: Path, raw: bytes) -> tuple[str, list[tuple[int, Any]]]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return read_rows(path, raw)
    if isinstance(document, dict):
        for name in _CASES:
            if isinstance(document.get(name), list):
                return "case", list(enumerate(document[name], start=1))
    return read_rows(path, raw)
