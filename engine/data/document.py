"""A data set file as a list of rows: bytes, UTF-8, JSON or JSON Lines, each with its own clear refusal.

What the file is is told by its content, not by its name; positions in errors are line and column, counted from 1.
"""

from __future__ import annotations

import difflib
import stat
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
    """The rows with their 1-based numbers, and whether those count rows or lines."""
    body = _text_bytes(path, raw)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        lines = _json_lines(path, body)
        if lines is None:
            raise DataError(_not_json(path, error, error.lineno)) from None
        return "line", lines
    return "row", list(enumerate(_document_rows(path, document), start=1))


def _json_lines(path: Path, body: bytes) -> list[tuple[int, Any]] | None:
    """Rows of a JSON Lines file, or None when its first line is no JSON object by itself."""
    rows: list[tuple[int, Any]] = []
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not rows:
                return None
            raise DataError(_not_json(path, error, number)) from None
        if not rows and not isinstance(row, dict):
            return None
        rows.append((number, row))
    return rows


def _not_json(path: Path, error: orjson.JSONDecodeError, line: int) -> str:
    if "depth limit" in error.msg:
        return f"{path}:{line}:{error.colno}: brackets are nested more than 1,000 deep; {EXPECTED}."
    return f"{path}:{line}:{error.colno}: not valid JSON: {error.msg}; {EXPECTED}."


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
