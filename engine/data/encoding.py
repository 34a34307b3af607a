"""Text to token ids in batches, with the character offsets that tie tokens to turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data.controls import Controls
from engine.data.scaffold import Span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """Ids of one text and the characters each covers; all (tokens,) int32, offsets never fall."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    control: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def covering(self, span: Span) -> slice:
        """The tokens that carry a span of text, also where they reach beyond it (" Hello" for "Hello").

        A control token that swallowed white space before the span is not of it.
        """
        first = int(self.ends.searchsorted(span[0], side="right"))
        while first < len(self) and self.starts[first] < span[0] and self.control[first]:
            first += 1
        return slice(first, max(first, self.index_at(span[1])))

    def holds_control(self, spans: Iterable[Span]) -> bool:
        """Whether a control token begins inside one of some spans."""
        places = self.starts[self.control].tolist()
        return any(start <= place < stop for start, stop in spans for place in places)

    def index_at(self, position: int) -> int:
        """The first token that starts at or after a character."""
        return int(self.starts.searchsorted(position, side="left"))


def encode(tokenizer: Any, controls: Controls, texts: Sequence[str]) -> list[Encoded]:
    """Encode rendered texts; the template has written every special token, so none is added."""
    return arrays(controls, tokens_of(tokenizer, texts))


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> list[Any]:
    """What the tokenizer makes of texts; it holds the interpreter's lock only to take them and to hand back.

    The library's own class would build six lists for each text, of which two are wanted.
    """
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    return list(backend.encode_batch(list(texts), add_special_tokens=False))


def arrays(controls: Controls, encodings: Sequence[Any]) -> list[Encoded]:
    """The ids and offsets of encodings as arrays."""
    result = []
    for encoding in encodings:
        ids, offsets = encoding.ids, encoding.offsets
        tokens = np.fromiter(ids, dtype=np.int32, count=len(ids))
        flat = np.fromiter(chain.from_iterable(offsets), dtype=np.int32, count=2 * len(ids)).reshape(-1, 2)
        # Empty offsets of some tokenizers read (0, 0) in mid-text; a running maximum keeps searching sound.
        spans = np.maximum.accumulate(flat, axis=0)
        result.append(Encoded(ids=tokens, starts=spans[:, 0], ends=spans[:, 1], control=controls.among(tokens)))
    return result
