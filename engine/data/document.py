"""A data set file as a list of rows: bytes, UTF-8, JSON or JSON Lines, each with its own clear refusal.

What the file is is told by its content, not by its name; positions in errors are line and column, counted from 1.
"""

from __future__ import annotations

import difflib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from configs.errors import DataError
from engine.data.rows import EXAMPLE, kind_of, looks_like_sharegpt
from states.text import one_line

MAX_BYTES: Final = 1 << 30
"""A parsed file takes about ten times its size in memory; a GiB is some 250 million tokens, beyond any paid window."""

EXPECTED: Final = f'expected {{"conversations": [{EXAMPLE}]}}, a list of such rows, or one row per line'
_FOREIGN: Final = {
    b"PAR1": "a Parquet file; export it to JSON Lines first",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line of a JSON Lines file that is no JSON; it stands where its row would."""

    column: int
    what: str


def read_bytes(path: Path) -> bytes:
    """The whole of a regular file of bearable size."""
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise DataError(f"{path} is a folder; name the data set file inside it.")
        if not stat.S_ISREG(info.st_mode):
            raise DataError(f"{path} is not a regular file; name a JSON or JSON Lines file.")
        if info.st_size > MAX_BYTES:
            raise DataError(
                f"{path} has {info.st_size / 2**30:.1f} GiB; at most {MAX_BYTES >> 30} GiB can be read. "
                "Split it and train on the part that fits the window."
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"There is no data set at {path}{_nearby(path)}. Correct --dataset or --validation, or the configuration."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _nearby(path: Path) -> str:
    """The file in the same folder whose name is nearest, if any is near."""
    try:
        files = sorted(entry for entry in path.parent.iterdir() if entry.is_file())
    except OSError:
        return f" (nor a folder {path.parent})"
    # Endings are left out: any two short names with the same one look alike.
    by_stem = {file.stem: file for file in files}
    close = difflib.get_close_matches(path.stem, by_stem, n=1)
    return f" (did you mean {by_stem[close[0]]}?)" if close else ""


def _text_bytes(path: Path, raw: bytes) -> bytes:
    """The file without a byte order mark, checked to be UTF-8 text."""
    for magic, what in _FOREIGN.items():
        if raw.startswith(magic):
            raise DataError(f"{path} is {what}.")
    body = raw.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        raise DataError(f"{path} is empty; {EXPECTED}.")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        before = body[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        position = error.start + len(raw) - len(body)
        raise DataError(
            f"{path}:{line}:{column}: not UTF-8 text (byte {position:,} is 0x{body[error.start]:02x}); "
            "save the file as UTF-8."
        ) from None
    return body


def read_rows(path: Path, raw: bytes) -> tuple[str, list[tuple[int, Any]]]:
    """The rows with their 1-based numbers, and whether those count rows or lines; a bad line is a `BadLine`."""
    body = _text_bytes(path, raw)
    if _is_json_lines(body):
        return "line", _json_lines(body)
    problem = None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Words only: the exception holds a second copy of the whole file.
        problem = _not_json(path, error, error.lineno)
    if problem is not None:
        raise DataError(problem)
    return "row", list(enumerate(_document_rows(path, document), start=1))


def _is_json_lines(body: bytes) -> bool:
    """Whether the first line is an object by itself and more follow, or looks like one and the second line is one.

    A complete object that is followed by anything is no JSON document, so nothing else can be meant.
    """
    lines = _first_lines(body, 2)
    if len(lines) < 2:
        return False
    return _is_object(lines[0]) or (lines[0].startswith(b"{") and lines[0].endswith(b"}") and _is_object(lines[1]))


def _first_lines(body: bytes, count: int) -> list[bytes]:
    """The first lines that are not blank, stripped."""
    lines: list[bytes] = []
    start = 0
    while len(lines) < count and start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end].strip()
        if line:
            lines.append(line)
        start = end + 1
    return lines


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _json_lines(body: bytes) -> list[tuple[int, Any]]:
    rows: list[tuple[int, Any]] = []
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            row = BadLine(column=error.colno, what=_fault(error))
        rows.append((number, row))
    return rows


def _fault(error: orjson.JSONDecodeError) -> str:
    if "depth limit" in error.msg:
        return "brackets are nested more than 1,000 deep"
    return f"not valid JSON: {error.msg}"


def _not_json(path: Path, error: orjson.JSONDecodeError, line: int) -> str:
    return f"{path}:{line}:{error.colno}: {_fault(error)}; {EXPECTED}."


def _document_rows(path: Path, document: object) -> list[Any]:
    """The list of rows inside a whole JSON document; a single row is a list of one."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise DataError(f"{path} holds {kind_of(document)}; {EXPECTED}.")
    if "conversations" in document:
        rows = document["conversations"]
        if not isinstance(rows, list):
            raise DataError(f'{path}: "conversations" is {kind_of(rows)}, not a list; {EXPECTED}.')
        return [document] if looks_like_sharegpt(rows) else rows
    if "messages" in document or "text" in document:
        return [document]
    keys = ", ".join(one_line(str(key), 24) for key in list(document)[:6]) or "none"
    raise DataError(f'{path} has no "conversations" (keys found: {keys}); {EXPECTED}.')
