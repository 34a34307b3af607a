"""Text to token ids in batches, with the places that tie tokens to turns."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data.anchors import Anchors
from engine.data.controls import Controls
from engine.data.offsets import Offsets, Place
from engine.data.scaffold import Span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """Ids of one text and the characters each covers."""

    ids: NDArray[np.int32]
    """(tokens,)."""
    control: NDArray[np.bool_]
    """(tokens,): which are control tokens."""
    place: Place
    anchors: Anchors | None = None
    """Tells where turns lie without any place, where that was found to be sound."""

    def __len__(self) -> int:
        return len(self.ids)

    def covering(self, span: Span) -> slice:
        """The tokens that carry a span of text, also where they reach beyond it (" Hello" for "Hello").

        A control token that swallowed white space before the span is not of it.
        """
        told = None if self.anchors is None else self.anchors.covering(span)
        if told is not None:
            return told
        first = bisect_right(range(len(self)), span[0], key=lambda index: self.place(index)[1])
        while first < len(self) and self.control[first] and self.place(first)[0] < span[0]:
            first += 1
        return slice(first, max(first, self.index_at(span[1])))

    def holds_control(self, spans: Iterable[Span]) -> bool:
        """Whether a control token begins inside one of some spans."""
        if self.anchors is not None:
            places = self.anchors.starts
        else:
            places = [self.place(index)[0] for index in np.flatnonzero(self.control).tolist()]
        inside = ((bisect_left(places, start), stop) for start, stop in spans)
        return any(at < len(places) and places[at] < stop for at, stop in inside)

    def index_at(self, position: int) -> int:
        """The first token that starts at or after a character."""
        return bisect_left(range(len(self)), position, key=lambda index: self.place(index)[0])


def encode(tokenizer: Any, controls: Controls, texts: Sequence[str]) -> list[Encoded]:
    """Encode rendered texts; the template has written every special token, so none is added."""
    return with_places(controls, tokens_of(tokenizer, texts))


def tokens_of(tokenizer: Any, texts: Sequence[str], *, places: bool = True) -> list[Any]:
    """What the tokenizer makes of texts; of several it holds the interpreter's lock only to take and to hand back.

    The library's own class would build six lists for each text, of which two are wanted. Without `places` the
    characters that each token covers are not told.
    """
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    if len(texts) == 1 and places:
        # Threads that work on a batch are not waited for.
        return [backend.encode(texts[0], add_special_tokens=False)]
    make = backend.encode_batch if places else backend.encode_batch_fast
    return list(make(list(texts), add_special_tokens=False))


def arrays(controls: Controls, encodings: Sequence[Any]) -> list[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
    """The ids of encodings, and which of them are control tokens; views of one array, made at once."""
    listed = [encoding.ids for encoding in encodings]
    ids = np.fromiter(chain.from_iterable(listed), dtype=np.int32, count=sum(map(len, listed)))
    control = controls.among(ids)
    bounds = accumulate(map(len, listed), initial=0)
    return [(ids[start:stop], control[start:stop]) for start, stop in pairwise(bounds)]


def with_places(controls: Controls, encodings: Sequence[Any]) -> list[Encoded]:
    """Encodings that know the characters of their tokens."""
    return [
        Encoded(ids=ids, control=control, place=Offsets(encoding))
        for encoding, (ids, control) in zip(encodings, arrays(controls, encodings), strict=True)
    ]
