"""Encodes the texts of one renderer in batches, places of tokens only where control tokens do not tell enough.

Whether they do, the first texts and later one in so many show: these are encoded both ways and compared. Once control
tokens do not tell of one of them, or tell something else, every later text is encoded with places. A text that may
exceed max_length is as well, as dividing it takes places; should another one need them, it is encoded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np

from engine.data.anchors import NEVER, anchors
from engine.data.controls import Controls
from engine.data.encoding import Encoded, arrays, tokens_of, with_places
from engine.data.offsets import when_asked
from engine.data.scaffold import Layout

FIRST: Final = 64
EVERY: Final = 64
_NEAR: Final = 0.9
"""Share of max_length, by the texts before, from which on a text is taken to exceed it."""
_LEADS: Final = 256

T = TypeVar("T")
Made = tuple[list[Any], list[Any]]
"""What the tokenizer makes of a batch: with places, and without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Texts on their way; positions of those that are encoded with and without places, which some are both."""

    layouts: Sequence[Layout]
    placed: tuple[int, ...]
    quick: tuple[int, ...]


class Encoder:
    """One tokenizer; for each batch `begin`, then `work` in any thread, then `end`; `ahead` does all three."""

    def __init__(self, tokenizer: Any, controls: Controls, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._controls = controls
        self._max_length = max_length
        self._seen = self._characters = self._tokens = 0
        self._leads: dict[str, list[int]] = {}
        self.sound = True
        """Whether control tokens have told what places tell, so far."""

    def ahead(
        self, batches: Iterable[tuple[T, Sequence[Layout]]]
    ) -> Iterator[tuple[T, Sequence[Layout], list[Encoded]]]:
        """Batches encoded, each with what came along; the tokenizer, which needs no interpreter, is one batch ahead."""
        with ThreadPoolExecutor(1, thread_name_prefix="encode") as pool:
            before: tuple[T, Batch, Future[Made]] | None = None
            for what, layouts in batches:
                batch = self.begin(layouts)
                working = pool.submit(self.work, batch)
                if before is not None:
                    yield before[0], before[1].layouts, self.end(before[1], before[2].result())
                before = what, batch, working
            if before is not None:
                yield before[0], before[1].layouts, self.end(before[1], before[2].result())

    def begin(self, layouts: Sequence[Layout]) -> Batch:
        """Decide how to encode each text."""
        if not self.sound:
            return Batch(layouts=layouts, placed=tuple(range(len(layouts))), quick=())
        longest = _NEAR * self._max_length * self._characters / self._tokens if self._tokens else float("inf")
        placed, quick = [], []
        for position, layout in enumerate(layouts):
            self._seen += 1
            if len(layout.text) > longest:
                placed.append(position)
                continue
            quick.append(position)
            if self._seen <= FIRST or self._seen % EVERY == 0:
                placed.append(position)
        return Batch(layouts=layouts, placed=tuple(placed), quick=tuple(quick))

    def work(self, batch: Batch) -> Made:
        """What the tokenizer makes of a batch."""
        texts = [layout.text for layout in batch.layouts]
        return (
            tokens_of(self._tokenizer, [texts[position] for position in batch.placed]),
            tokens_of(self._tokenizer, [texts[position] for position in batch.quick], places=False),
        )

    def end(self, batch: Batch, made: Made) -> list[Encoded]:
        """The encoded texts, in order."""
        placed = dict(zip(batch.placed, with_places(self._controls, made[0]), strict=True))
        found: dict[int, Encoded] = {}
        for position, (ids, control) in zip(batch.quick, arrays(self._controls, made[1]), strict=True):
            text = batch.layouts[position].text
            quick = found[position] = Encoded(
                ids=ids,
                control=control,
                place=when_asked(partial(self._again, text)),
                anchors=anchors(text, ids, control, self._controls, self._lead),
            )
            if position in placed:
                self.sound = self.sound and agree(quick, placed[position], batch.layouts[position])
        if not self.sound:
            found = {position: replace(quick, anchors=None) for position, quick in found.items()}
        found.update(placed)
        self._characters += sum(len(layout.text) for layout in batch.layouts)
        self._tokens += sum(map(len, found.values()))
        return [found[position] for position in range(len(batch.layouts))]

    def _again(self, text: str) -> Any:
        [encoding] = tokens_of(self._tokenizer, [text])
        return encoding

    def _lead(self, text: str) -> list[int]:
        if len(self._leads) > _LEADS:
            self._leads.clear()
        if text not in self._leads:
            ids = self._again(text).ids[1:]
            # An unknown character joins those beside it in one token, which may reach into the turn.
            self._leads[text] = ids if self._tokenizer.unk_token_id not in ids else NEVER
        return self._leads[text]


def agree(quick: Encoded, placed: Encoded, layout: Layout) -> bool:
    """Whether control tokens tell by themselves what places tell: each turn that is learned; none inside a turn."""
    words = (*layout.clients, *layout.replies)
    return (
        quick.anchors is not None
        and np.array_equal(quick.ids, placed.ids)
        and quick.holds_control(words) == placed.holds_control(words)
        and all(quick.anchors.covering(span) == placed.covering(span) for span in layout.targets)
    )
