"""Where the rows of a JSON document stand in its file, as line and column; looked up only when a row is in trouble."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^\s"\[\]{},:]+', re.DOTALL)
_KEY: Final = b'"conversations"'


def row_places(raw: bytes, rows: Collection[int]) -> dict[int, tuple[int, int]]:
    """(line, column), both from 1, of some rows of a valid JSON document."""
    wanted = set(rows)
    places = {}
    line, position = 1, 0
    for number, start in enumerate(_starts(raw, max(wanted, default=0)), start=1):
        if number in wanted:
            line += raw.count(b"\n", position, start)
            position = start
            begin = raw.rfind(b"\n", 0, start) + 1
            places[number] = line, len(raw[begin:start].decode("utf-8", "replace").lstrip("\ufeff")) + 1
    return places


def _starts(raw: bytes, last: int) -> list[int]:
    """Offsets of the first `last` rows: the elements of the list at the top, or of the one under `conversations`."""
    starts: list[int] = []
    depth = 0
    row_depth = 1 if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") else 0
    named = False
    for match in _TOKEN.finditer(raw):
        token = match[0]
        if token in b"]}":
            depth -= 1
            if depth < row_depth:
                break
            continue
        if row_depth and depth == row_depth:
            if len(starts) == last:
                break
            starts.append(match.start())
        if token in b"[{":
            depth += 1
            if not row_depth and depth == 2 and named and token == b"[":
                row_depth = 2
        elif depth == 1 and not row_depth:
            named = token == _KEY
    return starts
