"""The characters that each token covers, asked of the tokenizer only where somebody wants to know.

A list of all of them costs a fifth of what making the tokens does, and a label is found by looking at a few.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np

from engine.data.scaffold import Span

Place = Callable[[int], Span]
"""Index of a token -> its characters; neither end falls from one token to the next."""

MOST_ASKED: Final = 160
"""Questions after which the list is cheaper."""


class Offsets:
    """The places of one text's tokens."""

    __slots__ = ("_asked", "_encoding", "_listed")

    def __init__(self, encoding: Any) -> None:
        """`encoding` is what the tokenizers library makes of a text."""
        self._encoding = encoding
        self._asked = 0
        self._listed: tuple[Sequence[int], Sequence[int]] | None = None

    def __call__(self, index: int) -> Span:
        """Where a token lies."""
        if self._listed is None:
            self._asked += 1
            span: Span | None = self._encoding.token_to_chars(index)
            # Empty offsets of some tokenizers read (0, 0) in mid-text; only all of them tell what came before: their
            # running maximum keeps searching sound.
            if span is not None and (span[1] or not index) and self._asked <= MOST_ASKED:
                return span
            flat = np.fromiter(chain.from_iterable(self._encoding.offsets), dtype=np.int32).reshape(-1, 2)
            columns = np.ascontiguousarray(np.maximum.accumulate(flat, axis=0).T)
            self._listed = array("i", columns[0].tobytes()), array("i", columns[1].tobytes())
            self._encoding = None
        starts, ends = self._listed
        return starts[index], ends[index]


def when_asked(encode: Callable[[], Any]) -> Place:
    """The places of a text's tokens, which is encoded when the first of them is wanted."""
    made: Offsets | None = None

    def there(index: int) -> Span:
        nonlocal made
        if made is None:
            made = Offsets(encode())
        return made(index)

    return there


def moved(place: Place, first: int, shift: int) -> Place:
    """The places of the tokens from `first` on, moved by `shift` characters."""

    def there(index: int) -> Span:
        start, stop = place(first + index)
        return start + shift, stop + shift

    return there


def after(before: Place, tokens: int, place: Place) -> Place:
    """The places of a text's `tokens` tokens, and then of another's."""
    return lambda index: before(index) if index < tokens else place(index - tokens)
