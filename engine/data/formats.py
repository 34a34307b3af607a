"""Reads a data set file into conversations, or says in one paragraph why it cannot.

Light on purpose (orjson only): a wrong file is reported before torch is imported. Messages carry positions, keys and
labels, never the words of a conversation.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from configs.errors import DataError
from engine.data.conversation import Conversation
from engine.data.document import EXPECTED, BadLine, read_bytes, read_rows
from engine.data.rows import ParsedRow, RowError, Shape, parse_row

_SHOWN_PROBLEMS: Final = 3
_TOLD_ROWS: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One row that cannot be used, and why."""

    row: int
    what: str
    column: int | None = None
    """Where on the line; only for a line that is no JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a file held: the usable conversations and an account of everything else."""

    path: Path
    digest: str
    """SHA-256 of the file."""
    unit: str
    """`row` or, for JSON Lines, `line`: what `Conversation.row` counts."""
    conversations: tuple[Conversation, ...]
    rows: int
    parsed: int
    duplicates: tuple[int, ...] = ()
    without_reply: tuple[int, ...] = ()
    """Rows where no therapist turn follows a client turn."""
    merged_turns: int = 0
    empty_turns: int = 0
    with_empty: tuple[int, ...] = ()
    """Rows that hold an empty turn."""
    suspects: tuple[tuple[int, str], ...] = ()
    """(row, line start) of what resembles a known label and was read as text."""
    shapes: dict[Shape, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def read(path: Path) -> list[Conversation]:
    """The usable conversations of a file, in order; raises `DataError`."""
    return list(read_dataset(path).conversations)


def read_dataset(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Dataset:
    """Like `scan`, but rows that cannot be read, or nothing to train on, are a `DataError`."""
    dataset = scan(path, progress)
    if dataset.problems:
        raise DataError(_refusal(dataset))
    if not dataset.conversations:
        raise DataError(
            f"{path}: none of its {dataset.rows:,} conversations has a therapist turn after a client turn "
            f"(first: {dataset.unit} {dataset.without_reply[0]}), so there is nothing to learn from; {EXPECTED}."
        )
    return dataset


def _refusal(dataset: Dataset) -> str:
    """The first problems of a file, and how many more rows have some."""
    problems = dataset.problems
    first = problems[0]
    if first.column is not None:
        more = len(problems) - 1
        rest = f" (and {more:,} more problems; `dataset validate` lists all)" if more else ""
        return f"{dataset.path}:{first.row}:{first.column}: {first.what}{rest}; {EXPECTED}."
    shown = "; ".join(f"{dataset.unit} {p.row}: {p.what}" for p in problems[:_SHOWN_PROBLEMS])
    more = len({p.row for p in problems} - {p.row for p in problems[:_SHOWN_PROBLEMS]})
    rest = f" (and {more} more of {dataset.rows:,} rows have problems)" if more > 0 else ""
    return f"{dataset.path}: {shown}{rest}."


def scan(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Dataset:
    """Read a file and judge every row; only a file that is no data set at all raises `DataError`.

    `progress` hears rows judged and rows in all, now and then.
    """
    raw = read_bytes(path)
    digest = hashlib.sha256(raw).hexdigest()
    unit, rows = read_rows(path, raw)
    if not rows:
        raise DataError(f"{path} holds no conversations: the list is empty; {EXPECTED}.")
    # What has been read is let go row by row: a large file is held about twice, never four times.
    del raw
    count = len(rows)
    rows.reverse()
    tally = _Tally()
    while rows:
        tally.add(*rows.pop())
        if len(rows) % _TOLD_ROWS == 0:
            progress(count - len(rows), count)
    return Dataset(
        path=path,
        digest=digest,
        unit=unit,
        conversations=tuple(tally.conversations),
        rows=count,
        parsed=count - len({problem.row for problem in tally.problems}),
        duplicates=tuple(tally.duplicates),
        without_reply=tuple(tally.without_reply),
        merged_turns=tally.merged,
        empty_turns=tally.empty,
        with_empty=tuple(tally.with_empty),
        suspects=tuple(tally.suspects),
        shapes=dict(tally.shapes),
        problems=tuple(tally.problems),
        notes=tally.notes(unit),
    )


class _Tally:
    """Collects rows into conversations and counts what was left out."""

    def __init__(self) -> None:
        self.conversations: list[Conversation] = []
        self.problems: list[Problem] = []
        self.duplicates: list[int] = []
        self.without_reply: list[int] = []
        self.suspects: list[tuple[int, str]] = []
        self.with_empty: list[int] = []
        self.shapes: Counter[Shape] = Counter()
        self.merged = self.empty = 0
        self._seen: set[bytes] = set()

    def add(self, number: int, row: object) -> None:
        if isinstance(row, BadLine):
            self.problems.append(Problem(row=number, what=row.what, column=row.column))
            return
        try:
            parsed = parse_row(row)
        except RowError as error:
            self.problems.extend(Problem(row=number, what=what) for what in error.problems)
            return
        self.shapes[parsed.shape] += 1
        self.merged += parsed.merged
        self.empty += parsed.empty
        if parsed.empty:
            self.with_empty.append(number)
        self.suspects.extend((number, label) for label in parsed.suspects)
        conversation = Conversation(turns=parsed.turns, domain=parsed.domain, row=number)
        fingerprint = _fingerprint(parsed)
        if not conversation.trainable:
            self.without_reply.append(number)
        elif fingerprint in self._seen:
            self.duplicates.append(number)
        else:
            self._seen.add(fingerprint)
            self.conversations.append(conversation)

    def notes(self, unit: str) -> tuple[str, ...]:
        notes = [f"Read {count:,} rows as {shape}." for shape, count in self.shapes.items()]
        if self.duplicates:
            notes.append(f"Left out {_places(self.duplicates, unit)} with the same turns as an earlier one.")
        if self.without_reply:
            notes.append(f"Left out {_places(self.without_reply, unit)} where no therapist turn follows a client turn.")
        if self.merged:
            notes.append(f"Joined {self.merged:,} turns to the turn before them, by the same person.")
        if self.empty:
            notes.append(f"Left out {self.empty:,} empty turns.")
        if self.suspects:
            row, label = self.suspects[0]
            notes.append(
                f'{len(self.suspects):,} lines begin like a mistyped label and were read as text (first: "{label}:" '
                f"in {unit} {row})."
            )
        return tuple(notes)


def _places(numbers: list[int], unit: str) -> str:
    word = unit if len(numbers) == 1 else f"{unit}s"
    first = ", ".join(str(number) for number in numbers[:3]) + (", ..." if len(numbers) > 3 else "")
    return f"{len(numbers):,} {word} ({first})"


def _fingerprint(row: ParsedRow) -> bytes:
    """Equal for conversations with the same roles and words, whatever their white space."""
    flat = "\x00".join(f"{turn.role}\x01{' '.join(turn.text.split())}" for turn in row.turns)
    return hashlib.sha256(flat.encode("utf-8", "surrogatepass")).digest()
