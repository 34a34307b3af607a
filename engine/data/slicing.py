"""The tokens of a part of a conversation, cut out of the tokens of the whole instead of made again.

A tokenizer splits a text at its control tokens first, so what stands between two of them is encoded by itself. A part
that begins at a control token and ends at one has the very ids that it has inside the whole; so has what follows a
client turn that was shortened. Where that does not hold, the answer is None and the part is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from engine.data.encoding import Encoded
from engine.data.offsets import after, moved
from engine.data.scaffold import Layout
from engine.data.windows import Window

FIRST: Final = 64
EVERY: Final = 64
"""Of the divided conversations, and of the shortened exchanges, the first ones, and later one in so many, are encoded
as well and compared."""


class Slicer:
    """Parts of one renderer's conversations; stops cutting once a part differs from what encoding makes of it."""

    def __init__(self, encode: Callable[[Sequence[str]], list[Encoded]]) -> None:
        self._encode = encode
        self._beginnings: dict[str, Encoded] = {}
        self._divided = self._shortened = 0
        self.sound = True
        """Whether parts may be cut out of the whole."""

    def parts(
        self, windows: Sequence[Window], layouts: Sequence[Layout], whole: Layout, encoded: Encoded
    ) -> list[Encoded]:
        """The tokens of the parts of one conversation, whose own layout and tokens are the last two arguments."""
        self._divided += 1
        checked = self._divided <= FIRST or self._divided % EVERY == 0
        parts: list[Encoded | None] = [None] * len(layouts)
        if self.sound:
            pairs = zip(windows, layouts, strict=True)
            parts = [cut_out(window, layout, whole, encoded, self._beginning) for window, layout in pairs]
        wanted = [number for number, part in enumerate(parts) if part is None or checked]
        made = self._encode([layouts[number].text for number in wanted]) if wanted else []
        for number, each in zip(wanted, made, strict=True):
            part = parts[number]
            self.sound = self.sound and (part is None or np.array_equal(part.ids, each.ids))
            parts[number] = each
        return [part for part in parts if part is not None]

    def shortened(self, shorter: Layout, whole: Layout, encoded: Encoded) -> Encoded:
        """The tokens of one exchange whose client says less than in `whole`, of which `encoded` are the tokens."""
        self._shortened += 1
        checked = self._shortened <= FIRST or self._shortened % EVERY == 0
        made = joined(shorter, whole, encoded, self._anew) if self.sound else None
        if made is not None and not checked:
            return made
        anew = self._anew(shorter.text)
        self.sound = self.sound and (made is None or np.array_equal(made.ids, anew.ids))
        return anew

    def _anew(self, text: str) -> Encoded:
        [encoded] = self._encode([text])
        return encoded

    def _beginning(self, text: str) -> Encoded:
        """What a template writes before the first turn: the same few texts, with and without a system text."""
        if len(self._beginnings) > EVERY:
            self._beginnings.clear()
        if text not in self._beginnings:
            self._beginnings[text] = self._anew(text)
        return self._beginnings[text]


def cut_out(
    window: Window, part: Layout, whole: Layout, encoded: Encoded, encode: Callable[[str], Encoded]
) -> Encoded | None:
    """The tokens of `part`, which shows the exchanges of `window`; `encode` makes those of its own beginning."""
    tail = part.text[part.targets[-1][1] :]
    stop = whole.targets[window.stop - 1][1] + len(tail)
    last = encoded.index_at(stop)
    if not _parted(encoded, last, stop):
        return None
    if window.start == 0:
        first, start = 0, 0
    else:
        first = encoded.index_at(whole.targets[window.start - 1][1])
        controls = np.flatnonzero(encoded.control[first:last])
        if not len(controls):
            return None
        first += int(controls[0])
        start = encoded.place(first)[0]
        if start > whole.clients[window.start][0] or (first and encoded.place(first - 1)[1] > start):
            return None
    body = whole.text[start:stop]
    if not part.text.endswith(body):
        return None
    head = part.text[: len(part.text) - len(body)]
    if not head:
        return Encoded(
            ids=encoded.ids[first:last],
            control=encoded.control[first:last],
            place=moved(encoded.place, first, -start),
        )
    if window.start == 0:
        return None
    return _followed(encode(head), encoded, first, last, len(head) - start)


def joined(shorter: Layout, whole: Layout, encoded: Encoded, encode: Callable[[str], Encoded]) -> Encoded | None:
    """The tokens of `shorter`: those up to the control token after the client's words anew, the others of `whole`."""
    first = encoded.index_at(whole.clients[0][1])
    controls = np.flatnonzero(encoded.control[first:])
    if not len(controls):
        return None
    first += int(controls[0])
    start = encoded.place(first)[0]
    if not first or encoded.place(first - 1)[1] > start or not shorter.text.endswith(whole.text[start:]):
        return None
    head = shorter.text[: len(shorter.text) - len(whole.text) + start]
    return _followed(encode(head), encoded, first, len(encoded), len(head) - start)


def _followed(before: Encoded, encoded: Encoded, first: int, last: int, shift: int) -> Encoded:
    """Some tokens, and after them those from `first` to `last` of another text, moved by `shift` characters."""
    return Encoded(
        ids=np.concatenate((before.ids, encoded.ids[first:last])),
        control=np.concatenate((before.control, encoded.control[first:last])),
        place=after(before.place, len(before), moved(encoded.place, first, shift)),
    )


def _parted(encoded: Encoded, index: int, position: int) -> bool:
    """Whether a control token stands right before or after a position, or nothing after it."""
    if index and encoded.place(index - 1)[1] > position:
        return False
    if index == len(encoded):
        return True
    return bool(encoded.place(index)[0] == position and (encoded.control[index] or encoded.control[index - 1]))
