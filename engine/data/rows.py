"""One row of a data set, in any of the shapes people have, as turns and a domain."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from engine.data.conversation import Role, Turn, tidy
from engine.data.transcript import TranscriptError, read_transcript
from states.text import one_line

EXAMPLE: Final = '{"text": "Client: ...\\nTherapist: ...", "domain": "grief"}'
MAX_DOMAIN_CHARS: Final = 64

ROLES: Final = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.CLIENT,
    "human": Role.CLIENT,
    "client": Role.CLIENT,
    "patient": Role.CLIENT,
    "assistant": Role.THERAPIST,
    "gpt": Role.THERAPIST,
    "model": Role.THERAPIST,
    "therapist": Role.THERAPIST,
    "counselor": Role.THERAPIST,
    "counsellor": Role.THERAPIST,
}


class Shape(StrEnum):
    """What a row turned out to be."""

    TRANSCRIPT = "labelled transcripts"
    MESSAGES = "messages"
    SHAREGPT = "ShareGPT"


class RowError(ValueError):
    """A row that cannot be read; each of `problems` completes the sentence "row N: ..."."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRow:
    """The turns of one row, tidied."""

    shape: Shape
    turns: tuple[Turn, ...]
    domain: str | None
    empty: int
    merged: int
    suspects: tuple[str, ...] = ()


def kind_of(value: object) -> str:
    """JSON's word for a value, for messages that say what was found."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for types, word in (((int, float), "a number"), ((str,), "a string"), ((list,), "a list"), ((dict,), "an object")):
        if isinstance(value, types):
            return word
    return type(value).__name__


def looks_like_sharegpt(value: object) -> bool:
    """Whether a list holds ShareGPT turns; the key `conversations` alone does not tell."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "from" in turn for turn in value)


def parse_row(row: object) -> ParsedRow:
    """Sniff the shape of one row and read it; raises `RowError`."""
    if not isinstance(row, dict):
        raise RowError(f"it is {kind_of(row)}, expected an object such as {EXAMPLE}")
    domain = _domain(row.get("domain"))
    if "messages" in row:
        return _from_turns(Shape.MESSAGES, row["messages"], "role", "content", domain)
    if "conversations" in row:
        return _from_turns(Shape.SHAREGPT, row["conversations"], "from", "value", domain)
    if "text" in row:
        return _from_text(row["text"], domain)
    keys = ", ".join(one_line(str(key), 24) for key in list(row)[:6]) or "none"
    raise RowError(f'it has no "text", "messages" or "conversations" (keys found: {keys}); expected e.g. {EXAMPLE}')


def _domain(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RowError(f'its "domain" is {kind_of(value)}, expected a short string such as "grief"')
    name = " ".join(value.split())
    if len(name) > MAX_DOMAIN_CHARS:
        raise RowError(f'its "domain" has {len(name)} characters, at most {MAX_DOMAIN_CHARS} are meant to name a topic')
    return one_line(name) or None


def _from_text(text: object, domain: str | None) -> ParsedRow:
    if not isinstance(text, str):
        raise RowError(f'its "text" is {kind_of(text)}, expected a string such as "Client: ...\\nTherapist: ..."')
    if not text.strip():
        return ParsedRow(shape=Shape.TRANSCRIPT, turns=(), domain=domain, empty=1, merged=0)
    try:
        transcript = read_transcript(text)
    except TranscriptError as error:
        raise RowError(str(error)) from error
    return ParsedRow(
        shape=Shape.TRANSCRIPT,
        turns=transcript.turns,
        domain=domain,
        empty=transcript.empty,
        merged=transcript.merged,
        suspects=transcript.suspects,
    )


def _from_turns(shape: Shape, value: object, role_key: str, text_key: str, domain: str | None) -> ParsedRow:
    if not isinstance(value, list):
        raise RowError(f'its turns are {kind_of(value)}, expected a list of {{"{role_key}": ..., "{text_key}": ...}}')
    turns = []
    problems: list[str] = []
    for number, item in enumerate(value, start=1):
        try:
            turns.append(_turn(item, number, role_key, text_key))
        except RowError as error:
            problems += error.problems
    if problems:
        raise RowError(*problems)
    tidied = tidy(turns)
    return ParsedRow(shape=shape, turns=tidied.turns, domain=domain, empty=tidied.empty, merged=tidied.merged)


def _turn(item: object, number: int, role_key: str, text_key: str) -> Turn:
    if not isinstance(item, dict) or role_key not in item or text_key not in item:
        found = f"keys {', '.join(one_line(str(k), 24) for k in list(item)[:6])}" if isinstance(item, dict) else ""
        raise RowError(f'turn {number} is {found or kind_of(item)}, expected {{"{role_key}": ..., "{text_key}": ...}}')
    return Turn(role=_role(item[role_key], number), text=_content(item[text_key], number))


def _role(value: object, number: int) -> Role:
    if isinstance(value, str):
        role = ROLES.get(value.strip().lower())
        if role is not None:
            return role
        close = difflib.get_close_matches(value.strip().lower(), ROLES, n=1)
        hint = f' (did you mean "{close[0]}"?)' if close else ""
        raise RowError(f'turn {number} has the role "{one_line(value, 24)}"{hint}; known roles: {", ".join(ROLES)}')
    raise RowError(f"turn {number} has {kind_of(value)} for a role, expected a string such as user or assistant")


def _content(value: Any, number: int) -> str:
    """A string, null (an empty turn), or the list of text parts that some chat formats use."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "\n".join(part["text"] for part in value)
    raise RowError(f"turn {number} has {kind_of(value)} for a text, expected a string")
