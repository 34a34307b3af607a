"""`dataset preview`: the tensors of the bin that holds one conversation, decoded as the trainer will see them.

The only place where conversation text is printed, because a person asked for it. Nothing here renders by itself: the
examples, the step and the bin come from the code that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from configs.errors import UsageError
from engine.data.batches import Bin, Steps, make_bins
from engine.data.desk import Desk, tokenizer
from engine.data.example import NO_TARGET, Example
from engine.data.prepare import Prepared, prepare, read_sources
from engine.data.sources import Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of tokens that are all targets, or none of them."""

    text: str
    target: bool
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One conversation, or one part of one, inside a bin."""

    row: int
    part: int
    wanted: bool
    start: int
    """Position of its first token in the bin."""
    pieces: tuple[Piece, ...]

    @property
    def tokens(self) -> int:
        """Length."""
        return sum(len(piece.ids) for piece in self.pieces)

    @property
    def targets(self) -> int:
        """Tokens that carry loss."""
        return sum(len(piece.ids) for piece in self.pieces if piece.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A bin that holds the conversation, and when it is met."""

    step: int | None
    """Of the first epoch, from 1; None for a validation conversation."""
    number: int
    """The bin's, from 1, in its step or in an evaluation of everything."""
    bins: int
    members: tuple[Member, ...]


def preview(desk: Desk, row: int, progress: Callable[[str, int, int], None]) -> tuple[str, list[Seen]]:
    """What the file counts, and every bin of the first epoch, or of an evaluation, that holds a row's conversation.

    Raises `UserError`.
    """
    config = desk.config
    sources = read_sources(config, progress)
    train = _held(desk, sources, row)
    tokens = tokenizer(config)
    prepared = prepare(config, tokens, progress, sources)
    side = prepared.train if train else prepared.validation
    wanted = [index for index, example in enumerate(side) if example.conversation == row]
    if not wanted:
        raise UsageError(
            f"Row {row} of {desk.file} leaves no example: the chat template or max_length "
            f"{config.training.max_length:,} has no room for it."
        )
    groups = _steps(desk, prepared, wanted) if train else [(None, list(range(len(side))))]
    return sources.datasets[0].unit, [
        seen
        for step, indices in groups
        for seen in _bins(tokens, [side[index] for index in indices], row, step, config.training.bin_tokens)
    ]


def _held(desk: Desk, sources: Sources, row: int) -> bool:
    """Whether a row's conversation is trained on, or else validated on; raises `UsageError` if it is left out."""
    dataset = sources.datasets[0]
    if any(each.row == row for each in sources.train):
        return True
    if len(sources.datasets) == 1 and any(each.row == row for each in sources.validation):
        return False
    unit = dataset.unit
    if row in dataset.duplicates:
        raise UsageError(f"{unit.capitalize()} {row} of {desk.file} repeats an earlier one and is left out.")
    if row in dataset.without_reply:
        raise UsageError(
            f"{unit.capitalize()} {row} of {desk.file} has no therapist turn after a client turn: left out."
        )
    if any(each.row == row for each in dataset.conversations):
        raise UsageError(f"The prompt of {unit} {row} stands in the validation file as well, so it is left out.")
    last = max(each.row for each in dataset.conversations)
    raise UsageError(f"{desk.file} has no conversation at {unit} {row}; its last one is at {unit} {last}.")


def _steps(desk: Desk, prepared: Prepared, wanted: Sequence[int]) -> list[tuple[int | None, list[int]]]:
    training = desk.config.training
    steps = Steps(prepared.train, training.conversations_per_step, training.seed)
    found: list[tuple[int | None, list[int]]] = []
    for step in range(steps.per_epoch):
        indices = steps.indices(step)
        if not set(wanted).isdisjoint(indices):
            found.append((step + 1, indices))
    return found


def _bins(tokens: Any, examples: list[Example], row: int, step: int | None, bin_tokens: int) -> Iterator[Seen]:
    bins = make_bins(examples, bin_tokens)
    for number, each in enumerate(bins, start=1):
        chosen = [examples[index] for index in each.examples]
        if any(example.conversation == row for example in chosen):
            members = tuple(_members(tokens, each, chosen, row))
            yield Seen(step=step, number=number, bins=len(bins), members=members)


def _members(tokens: Any, laid: Bin, examples: Sequence[Example], row: int) -> Iterator[Member]:
    """The conversations of a bin, read from its tensors alone; `examples` only tell whose they are."""
    ids, labels = laid.input_ids.tolist(), laid.labels.tolist()
    # labels[i] is what position i has to predict, so token i + 1 is a target where it is one.
    target = [False, *(label != NO_TARGET for label in labels[:-1])]
    for example, (start, stop) in zip(examples, pairwise(laid.starts.tolist()), strict=True):
        yield Member(
            row=example.conversation,
            part=example.part,
            wanted=example.conversation == row,
            start=start,
            pieces=tuple(_pieces(tokens, ids[start:stop], target[start:stop])),
        )


def _pieces(tokens: Any, ids: Sequence[int], target: Sequence[bool]) -> Iterator[Piece]:
    edges = [0, *(i for i in range(1, len(ids)) if target[i] != target[i - 1]), len(ids)]
    for start, stop in pairwise(edges):
        yield Piece(text=_text(tokens, ids, start, stop), target=target[start], ids=tuple(ids[start:stop]))


def _text(tokens: Any, ids: Sequence[int], start: int, stop: int) -> str:
    """Tokens as text, with the white space that some decoders leave out at the very beginning."""
    before = str(tokens.decode(list(ids[max(0, start - 1) : start]))) if start else ""
    both = str(tokens.decode(list(ids[max(0, start - 1) : stop])))
    return both[len(before) :] if both.startswith(before) else str(tokens.decode(list(ids[start:stop])))
