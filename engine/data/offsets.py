"""The characters that each token covers, asked of the tokenizer only where somebody wants to know.

A list of all of them costs a fifth of what making the tokens does, and a label is found by looking at a few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from engine.data.scaffold import Span

Place = Callable[[int], Span]
"""Index of a token -> its characters; neither end falls from one token to the next."""

MOST_ASKED: Final = 160
"""Questions after which the list is cheaper."""


class Offsets:
    """The places of one text's tokens."""

    __slots__ = ("_asked", "_encoding", "_spans")

    def __init__(self, encoding: Any) -> None:
        """`encoding` is what the tokenizers library makes of a text."""
        self._encoding = encoding
        self._asked = 0
        self._spans: list[Span] | None = None

    def __call__(self, index: int) -> Span:
        """Where a token lies."""
        if self._spans is None:
            self._asked += 1
            span: Span | None = self._encoding.token_to_chars(index)
            # Empty offsets of some tokenizers read (0, 0) in mid-text; only all of them tell what came before.
            if span is not None and (span[1] or not index) and self._asked <= MOST_ASKED:
                return span
            # A running maximum keeps searching sound.
            spans = np.maximum.accumulate(np.array(self._encoding.offsets, dtype=np.int64).reshape(-1, 2), axis=0)
            self._spans = [(start, stop) for start, stop in spans.tolist()]
        return self._spans[index]


def moved(place: Place, first: int, shift: int) -> Place:
    """The places of the tokens from `first` on, moved by `shift` characters."""

    def there(index: int) -> Span:
        start, stop = place(first + index)
        return start + shift, stop + shift

    return there


def after(before: Place, tokens: int, place: Place) -> Place:
    """The places of a text's `tokens` tokens, and then of another's."""
    return lambda index: before(index) if index < tokens else place(index - tokens)
