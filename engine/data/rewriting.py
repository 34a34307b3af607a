"""`dataset sample` and `dataset convert`: the same conversations in a smaller file, or in another accepted form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from configs.errors import DataError, UsageError
from engine.data.conversation import Conversation, Role, Turn
from engine.data.document import read_bytes, read_rows
from engine.data.formats import read_dataset
from engine.data.rows import ParsedRow, parse_row
from engine.data.sampler import order
from engine.data.transcript import TranscriptError, parse
from engine.data.writing import refuse_taken, write_file

_CONTENT: Final = ("text", "messages", "conversations", "domain")
_ROLES: Final = {Role.SYSTEM: "system", Role.CLIENT: "user", Role.THERAPIST: "assistant"}
_LABELS: Final = {Role.CLIENT: "Client", Role.THERAPIST: "Therapist"}
_SHOWN: Final = 5


class Form(StrEnum):
    """What `convert` writes."""

    MESSAGES = "messages"
    TRANSCRIPT = "transcript"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What was written."""

    path: Path
    conversations: int
    domains: dict[str, int]
    left_out: int
    """Rows of the source that are not in it: without a turn, or for a sample, not usable for training."""


def sample(source: Path, target: Path, size: int, *, balance: bool, seed: int) -> Rewritten:
    """Write `size` usable conversations, drawn by seed, as their rows stand; raises `UserError`.

    With `balance` every domain gives the same number while it lasts; rows keep their order and all of their keys.
    """
    refuse_taken(target)
    dataset = read_dataset(source)
    found = dataset.conversations
    if size > len(found):
        raise UsageError(f"{source} has {len(found):,} usable conversations, fewer than the {size:,} asked for.")
    chosen = _draw(found, size, balance=balance, seed=seed)
    unit, rows = read_rows(source, read_bytes(source))
    wanted = {conversation.row for conversation in chosen}
    picked = [orjson.dumps(row) for number, row in rows if number in wanted]
    write_file(target, (line + b"\n" for line in picked) if unit == "line" else _document(picked))
    return Rewritten(path=target, conversations=size, domains=_count(chosen), left_out=dataset.rows - len(found))


def _draw(found: Sequence[Conversation], size: int, *, balance: bool, seed: int) -> list[Conversation]:
    shuffled = order(seed, 0, len(found))
    if not balance:
        return [found[index] for index in shuffled[:size]]
    by_domain: defaultdict[str, list[int]] = defaultdict(list)
    for index in shuffled:
        by_domain[found[index].domain or ""].append(index)
    chosen: list[int] = []
    # Round after round, one of each domain that has some left, until the size is reached.
    rounds = max(map(len, by_domain.values()))
    for number in range(rounds):
        for name in sorted(by_domain):
            if number < len(by_domain[name]) and len(chosen) < size:
                chosen.append(by_domain[name][number])
    return [found[index] for index in chosen]


def convert(source: Path, target: Path, form: Form) -> Rewritten:
    """Write every row that has a turn in another form; each is read back and compared before it is written.

    Raises `DataError` for rows that cannot be read, and for turns that the form cannot hold.
    """
    refuse_taken(target)
    read_dataset(source)
    unit, rows = read_rows(source, read_bytes(source))
    lines: list[bytes] = []
    domains: dict[str, int] = {}
    lost: list[int] = []
    for number, row in rows:
        parsed = parse_row(row)
        if not parsed.turns:
            continue
        made = _row(parsed, row, form)
        if made is None:
            lost.append(number)
            continue
        lines.append(orjson.dumps(made))
        name = parsed.domain or ""
        domains[name] = domains.get(name, 0) + 1
    if lost:
        places = ", ".join(map(str, lost[:_SHOWN])) + (", ..." if len(lost) > _SHOWN else "")
        raise DataError(
            f"{source}: {len(lost):,} conversations would change as {form.value} ({unit}s {places}): they have a "
            "system turn, or a line inside a turn that begins like a label. `--to messages` holds everything."
        )
    pieces = (line + b"\n" for line in lines) if form is Form.MESSAGES else _document(lines)
    write_file(target, pieces)
    return Rewritten(path=target, conversations=len(lines), domains=domains, left_out=len(rows) - len(lines))


def _row(parsed: ParsedRow, row: Mapping[str, Any], form: Form) -> dict[str, Any] | None:
    """The row in another form, with its further keys; None if it would not read as the same turns."""
    made: dict[str, Any]
    if form is Form.MESSAGES:
        made = {"messages": [{"role": _ROLES[turn.role], "content": turn.text} for turn in parsed.turns]}
    else:
        text = _transcript(parsed.turns)
        if text is None:
            return None
        made = {"text": text}
    if parsed.domain is not None:
        made["domain"] = parsed.domain
    made.update({key: value for key, value in row.items() if key not in _CONTENT})
    again = parse_row(made)
    return made if (again.turns, again.domain) == (parsed.turns, parsed.domain) else None


def _transcript(turns: Sequence[Turn]) -> str | None:
    if any(turn.role not in _LABELS for turn in turns):
        return None
    text = "\n".join(f"{_LABELS[turn.role]}: {turn.text}" for turn in turns)
    try:
        return text if parse(text) == tuple(turns) else None
    except TranscriptError:
        return None


def _document(rows: Sequence[bytes]) -> Iterator[bytes]:
    """A `conversations` document with one row a line."""
    yield b'{"conversations": [\n'
    for index, row in enumerate(rows):
        yield row + (b",\n" if index + 1 < len(rows) else b"\n")
    yield b"]}\n"


def _count(conversations: Sequence[Conversation]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for each in conversations:
        counted[each.domain or ""] = counted.get(each.domain or "", 0) + 1
    return dict(sorted(counted.items()))
