"""Records and control messages as JSON lines.

A journal line is `{"crc":"xxxxxxxx","seq":n,"wall":s,"mono":s,"kind":"noun.verb","data":{...}}`. The checksum is CRC-32
over the bytes from `"seq"` to the closing brace; it stands first, so that a reader can check a line before parsing it.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import fields
from operator import itemgetter
from typing import Any, Final

import orjson

from states.commands import COMMANDS, Command, Finish, Reply
from states.events import KINDS, Event, Record, Unknown
from states.shapes import Misfit, reader, write_any, writer
from states.text import clean, one_line

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""The longest command or reply a peer may send, newline included."""
MAX_ID_LENGTH: Final = 64

_WRITERS: Final = {kind: writer(cls) for kind, cls in KINDS.items()}
_READERS: Final = {kind: reader(cls) for kind, cls in KINDS.items()}
_COMMAND_WRITERS: Final = {name: writer(cls) for name, cls in COMMANDS.items()}
_COMMAND_READERS: Final = {name: reader(cls) for name, cls in COMMANDS.items()}
_WRITE_REPLY: Final = writer(Reply)
_READ_REPLY: Final = reader(Reply)

_OPENING: Final = b'{"crc":"'
_CRC: Final = slice(len(_OPENING), len(_OPENING) + 8)
_AFTER_CRC: Final = b'",'
_REST: Final = _CRC.stop + len(_AFTER_CRC)
_ENVELOPE: Final = itemgetter("seq", "wall", "mono", "kind", "data")
_NEEDS_CARE: Final = re.compile(rb"null|\\[bfru]|[\x7f-\xff]")
"""A dumped line without any of these holds neither unsafe text nor a number that was not finite."""


class BadLine(ValueError):  # noqa: N818  (a line that is bad)
    """The bytes are not one whole, intact line of this format; the message says what is wrong."""


def encode(record: Record) -> bytes:
    """One journal line, newline included.

    Text is cleaned; a float that is not finite becomes null where its field may be `None`. Raises `ValueError` for
    what a line cannot hold: any other such float, an integer beyond 64 bits, an object of a foreign type.
    """
    kind = record.event.kind
    try:
        rest = _dump(record)[1:]
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{kind} cannot be written to the journal: {error}") from error
    return b"%s%08x%s%s\n" % (_OPENING, zlib.crc32(rest), _AFTER_CRC, rest)


def _dump(record: Record) -> bytes:
    event = record.event
    if not (math.isfinite(record.wall) and math.isfinite(record.mono)):
        raise Misfit(f"the clocks read {record.wall} and {record.mono}")
    line: dict[str, Any] = {"seq": record.seq, "wall": record.wall, "mono": record.mono, "kind": event.kind}
    try:
        body = orjson.dumps({**line, "data": event.data if isinstance(event, Unknown) else event})
    except orjson.JSONEncodeError:
        # A lone surrogate, for one: cleaning may still make it writable.
        body = b"null"
    if not _NEEDS_CARE.search(body):
        return body
    data = write_any(event.data) if isinstance(event, Unknown) else _WRITERS[event.kind](event)
    return orjson.dumps({**line, "kind": clean(event.kind), "data": data})


def decode(line: bytes) -> Record:
    """The record of one journal line, with or without its newline. Raises `BadLine` unless every bit is in place.

    An intact line that this version cannot place (a kind, a required field or an enum value it does not know) was
    written by another version: it comes back as `Unknown`, never as an error.
    """
    rest = line[_REST:-1] if line.endswith(b"\n") else line[_REST:]
    if line[: _CRC.start] != _OPENING or line[_CRC.stop : _REST] != _AFTER_CRC:
        raise BadLine("this is no journal line")
    if line[_CRC] != b"%08x" % zlib.crc32(rest):
        raise BadLine("the checksum does not match")
    raw = _object(line)
    try:
        seq, wall, mono, kind, data = _ENVELOPE(raw)
    except KeyError as error:
        raise BadLine(f"{error.args[0]} is missing") from error
    if not isinstance(seq, int) or not isinstance(kind, str) or not isinstance(data, dict):
        raise BadLine("seq, kind or data is not what it should be")
    if not isinstance(wall, float | int) or not isinstance(mono, float | int):
        raise BadLine("wall or mono is no number")
    read = _READERS.get(kind)
    try:
        event: Event | Unknown = Unknown(kind, data) if read is None else read(data)
    except Misfit:
        event = Unknown(kind, data)
    return Record(seq=seq, wall=wall, mono=mono, event=event)


def encode_command(id: str, command: Command) -> bytes:
    """`{"id":...,"command":...,"args":{...}}` and a newline."""
    return _message({"id": id, "command": command.name, "args": _COMMAND_WRITERS[command.name](command)})


def decode_command(line: bytes) -> tuple[str, Command]:
    """The id and the command of one line. Raises `BadLine` saying what a peer got wrong."""
    raw = _object(line, MAX_MESSAGE_BYTES)
    id, name, args = raw.get("id"), raw.get("command"), raw.get("args", {})
    if not isinstance(id, str) or not 0 < len(id) <= MAX_ID_LENGTH or id != one_line(id):
        raise BadLine(f"id must be a text of 1 to {MAX_ID_LENGTH} printable characters")
    if not isinstance(name, str) or name not in COMMANDS:
        raise BadLine(f"{one_line(str(name), 40)} is no command; there are {', '.join(COMMANDS)}")
    if not isinstance(args, dict):
        raise BadLine("args must be an object")
    if unexpected := sorted(args.keys() - {field.name for field in fields(COMMANDS[name])}):
        raise BadLine(f"{name} takes no {one_line(unexpected[0], 40)}")
    try:
        command: Command = _COMMAND_READERS[name](args)
    except Misfit as error:
        raise BadLine(f"{name}: {error}") from error
    if isinstance(command, Finish) and not 0 <= command.cooldown_s < math.inf:
        raise BadLine("cooldown_s must be 0 or more seconds")
    return id, command


def encode_reply(reply: Reply) -> bytes:
    """One line with the fields of `Reply`."""
    return _message(_WRITE_REPLY(reply))


def decode_reply(line: bytes) -> Reply:
    """The reply in one line. Raises `BadLine`."""
    try:
        reply: Reply = _READ_REPLY(_object(line, MAX_MESSAGE_BYTES))
    except Misfit as error:
        raise BadLine(f"this is no reply: {error}") from error
    return reply


def _message(content: dict[str, Any]) -> bytes:
    line = orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
    if len(line) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {len(line)} bytes is longer than {MAX_MESSAGE_BYTES}")
    return line


def _object(line: bytes, limit: int | None = None) -> dict[str, Any]:
    if limit is not None and len(line) > limit:
        raise BadLine(f"the line is longer than {limit} bytes")
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine(f"this is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise BadLine("a JSON object is expected")
    return raw
