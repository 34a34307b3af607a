"""Makes a single exchange fit max_length with the least harm to what is learned.

The reply carries the loss, so the client's turn gives way first: its beginning is left out, never more of it than
leaves a quarter of max_length. Should the reply still not fit, its end is cut by the caller; the words that remain are
true targets, and without an end token nothing teaches the model to stop in mid-sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.data.dialogue import Exchange
from engine.data.encoding import Encoded
from engine.data.scaffold import Layout

_PASSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """An exchange as it goes into training; `encoded` may still exceed max_length by the end of the reply."""

    layout: Layout
    encoded: Encoded
    shortened: bool


def shorten(
    exchange: Exchange, whole: Fitted, max_length: int, place: Callable[[Exchange], tuple[Layout, Encoded]]
) -> Fitted:
    """Leave out words from the beginning of the client's turn until the exchange fits or a quarter remains.

    `whole` is the exchange as it stands, `place` lays out and encodes a shorter one.
    """
    layout, encoded, shortened = whole.layout, whole.encoded, whole.shortened
    keep = max_length // 4
    for _ in range(_PASSES):
        excess = len(encoded) - max_length
        tokens = encoded.covering(layout.clients[0])
        spare = tokens.stop - tokens.start - keep
        if excess <= 0 or spare <= 0:
            break
        # Cut before a word where one begins near; re-encoding may merge differently, hence the passes.
        cut = encoded.place(tokens.start + min(excess, spare))[0] - layout.clients[0][0]
        exchange = Exchange(client=_from_word(exchange.client, max(1, cut)), therapist=exchange.therapist)
        layout, encoded = place(exchange)
        shortened = True
    return Fitted(layout=layout, encoded=encoded, shortened=shortened)


def _from_word(text: str, position: int, reach: int = 40) -> str:
    """The text from the first word that begins at or after `position`, or from there when none is near."""
    for index in range(position, min(len(text) - 1, position + reach)):
        if text[index - 1].isspace():
            return text[index:].lstrip()
    return text[position:].lstrip() or text[-1]
