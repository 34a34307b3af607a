"""Where turns lie among the tokens, told by the control tokens around them instead of by the place of every token.

A tokenizer splits a text at its control tokens first (where it does not, the ids are not those written, and nothing
is told). So the one written n-th in the text is the n-th among the ids,
and what stands between two of them is encoded by itself. A reply between two is thus found by counting; so is one
after a few fixed words of the template ("assistant" and a line's end) whose tokens stand there unchanged. The places
of tokens, which cost a third of what making the tokens does, are then not needed at all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.data.controls import Controls
from engine.data.scaffold import Span

LONGEST_LEAD: Final = 48
"""Characters between a control token and a turn that are taken for the template's own words."""

Lead = Callable[[str], list[int]]
"""A control token and the template's words behind it -> the ids of those words, or `NEVER`."""

NEVER: Final = [-1]
"""Ids that no text has: the lead does not tell where the turn begins."""


class Anchors:
    """The control tokens of one text."""

    __slots__ = ("_after", "_ends", "_ids", "_lead", "_text", "starts")

    def __init__(
        self, text: str, ids: NDArray[np.int32], spans: tuple[list[int], list[int]], after: list[int], lead: Lead
    ) -> None:
        """`spans` are the characters where each begins and ends, `after` the index of the token behind each."""
        self.starts, self._ends = spans
        self._text, self._ids, self._after, self._lead = text, ids, after, lead

    def covering(self, span: Span) -> slice | None:
        """The tokens of a turn and the end token written after it; None where control tokens do not tell."""
        start, stop = span
        first = bisect_right(self._ends, start) - 1
        last = bisect_right(self._ends, stop) - 1
        if not 0 <= first < last or self._ends[last] != stop:
            return None
        begin, behind = self._after[first], self._ends[first]
        if behind != start:
            if start - behind > LONGEST_LEAD:
                return None
            lead = self._lead(self._text[self.starts[first] : start])
            if self._ids[begin : begin + len(lead)].tolist() != lead:
                return None
            begin += len(lead)
        return slice(begin, self._after[last])


def anchors(
    text: str, ids: NDArray[np.int32], control: NDArray[np.bool_], controls: Controls, lead: Lead
) -> Anchors | None:
    """The control tokens of a text, if those among its ids are the ones written in it, one by one and in order."""
    starts, ends, expected = controls.written(text)
    places = np.flatnonzero(control)
    if not expected or ids[places].tolist() != expected:
        return None
    return Anchors(text, ids, (starts, ends), (places + 1).tolist(), lead)
