"""JSON as people write it, with `//` and `/* */` comments and trailing commas, made plain JSON of the same shape.

What JSON does not know is overwritten with spaces, so every position in the result is a position in the person's file.
"""

from __future__ import annotations

import re
from typing import Final

MAX_DEPTH: Final = 64
"""Brackets inside brackets. A configuration needs three; what nests further was not written by hand."""

_LEXEME: Final = re.compile(
    r'"(?:[^"\\\n]+|\\[^\n])*+"?'  # a string, or one the line ends before it is closed
    r"|//[^\r\n]*"
    r"|/\*(?s:.*?)(?:\*/|\Z)"
    r"|[\[\]{},]"
    r'|[^\s"/\[\]{},]+'
    r"|/"
)
_NOT_NEWLINE: Final = re.compile(r"[^\n]")


class JsoncError(ValueError):
    """The text cannot be turned into JSON; `offset` is where, as an index into the text."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.offset = offset


def plain(text: str) -> str:
    """The same text as JSON, of the same length and with the same line breaks; raises `JsoncError`.

    Only comments and trailing commas are touched: whether the rest is JSON is for a JSON parser to say.
    """
    spans: list[tuple[int, int]] = []  # what to overwrite
    depth = 0
    comma: int | None = None  # a comma that a closing bracket would make a trailing one
    after_item = False  # only an item may be followed by a comma: `[,]` stays the error it is
    for match in _LEXEME.finditer(text):
        lexeme, start = match[0], match.start()
        if lexeme.startswith(("//", "/*")):
            if lexeme.startswith("/*") and (len(lexeme) < 4 or not lexeme.endswith("*/")):
                raise JsoncError("a comment opened with /* is never closed; add */", start)
            spans.append(match.span())
            continue
        if lexeme in "]}" and comma is not None:
            spans.append((comma, comma + 1))
        if lexeme in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise JsoncError(f"brackets are nested more than {MAX_DEPTH} deep; a configuration needs three", start)
        elif lexeme in "]}":
            depth -= 1
        comma = start if lexeme == "," and after_item else None
        after_item = lexeme not in ("[", "{", ",")
    return _overwritten(text, sorted(spans))


def _overwritten(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with every span turned to spaces, its line breaks kept."""
    pieces: list[str] = []
    kept_to = 0
    for start, end in spans:
        pieces.extend((text[kept_to:start], _NOT_NEWLINE.sub(" ", text[start:end])))
        kept_to = end
    pieces.append(text[kept_to:])
    return "".join(pieces)
