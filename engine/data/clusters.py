"""Pseudo-domains for conversations that name none: grouped by what the client says, for balanced order and reports.

Hashed word counts, weighted by rarity (TF-IDF), on their sixteen main axes (latent semantic analysis: Deerwester and
others 1990), then k-means by cosine from the best of several seeded starts. Groups are a stand-in, never the user's
own labels, and always said to be one. All sums are over whole numbers in float64, which are exact in any order: the
same file gives the same groups on every machine, however its rows are ordered, and so a resumed run the same steps.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.data.conversation import Conversation, Role
from engine.data.echoes import Numbers

BUCKETS: Final = 1024
SEEN_CHARACTERS: Final = 500
"""Of each client: what somebody comes for is said early."""
FITTED: Final = 4_096
"""Conversations that the groups are found on, drawn by their words; the rest joins the nearest group."""
AXES: Final = 16
TURNS: Final = 24
"""Subspace iterations that find the axes; more change no group."""
STARTS: Final = 8
ROUNDS: Final = 30
_UNIT: Final = 512
_AXIS_UNIT: Final = 4096
"""Lengths that vectors are rounded at: sums of products of whole numbers this small are exact in float64."""
_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_LEAST_SPREAD: Final = 0.5
"""Of an even share; a start with a smaller group than this is taken only when every other has one too."""

Whole = NDArray[np.float64]
"""Float64 that holds whole numbers only."""
Counts = NDArray[np.uint8]

_DAMPED: Final[Whole] = np.round(np.log1p(np.arange(256)) * _UNIT)
"""The weight of a word that comes so often."""


def clusters(conversations: Sequence[Conversation], count: int, seed: int) -> list[int]:
    """The group of each conversation, 0 to `count` - 1, the largest first; fewer where words do not tell more apart."""
    numbers = Numbers()
    texts = [_client(conversation) for conversation in conversations]
    fitted = sorted(range(len(texts)), key=lambda row: _rank(texts[row], seed))[:FITTED]
    counts = _counts([texts[row] for row in fitted], numbers)
    rarity = _rarity(counts)
    known = _vectors(counts, rarity)
    middle = np.round(known.mean(axis=0))
    axes = _axes(known - middle, seed)
    points = _rounded((known - middle) @ axes)
    starts = [_fit(points, count, seed, start) for start in range(STARTS)]
    centres = max(starts, key=lambda each: _merit(points, each))
    groups = []
    for begin in range(0, len(texts), FITTED):
        vectors = _vectors(_counts(texts[begin : begin + FITTED], numbers), rarity)
        groups.append((_rounded((vectors - middle) @ axes) @ centres.T).argmax(axis=1))
    assigned = np.concatenate(groups)
    sizes = np.bincount(assigned, minlength=len(centres))
    place = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    return [int(place[group]) for group in assigned]


def _client(conversation: Conversation) -> str:
    said, left = [], SEEN_CHARACTERS
    for turn in conversation.turns:
        if turn.role is Role.CLIENT and left > 0:
            said.append(turn.text[:left])
            left -= len(turn.text)
    return "\n".join(said)


def _rank(text: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\x00{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _counts(texts: Sequence[str], numbers: Numbers) -> Counts:
    """(texts, buckets): how often words of each bucket come, at most 255 times."""
    by_text = [[numbers[word] for word in _WORD.findall(text.casefold())] for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(each) for each in by_text])
    buckets = np.array([number for each in by_text for number in each], dtype=np.uint64) % np.uint64(BUCKETS)
    flat = np.bincount(rows * BUCKETS + buckets.astype(np.int64), minlength=len(texts) * BUCKETS)
    return np.minimum(flat, 255).astype(np.uint8).reshape(-1, BUCKETS)


def _rarity(counts: Counts) -> Whole:
    """Weight of each bucket; nothing for one that more than half of the conversations have."""
    having = np.count_nonzero(counts, axis=0)
    weight: Whole = np.round(np.log((1 + len(counts)) / (1 + having)) * _UNIT)
    weight[having * 2 > len(counts)] = 0.0
    return weight


def _vectors(counts: Counts, rarity: Whole) -> Whole:
    """(conversations, buckets): weighted counts of length `_UNIT`."""
    return _rounded(_DAMPED[counts] * rarity)


def _axes(points: Whole, seed: int) -> Whole:
    """(buckets, axes): the directions in which centred points differ most, at right angles, of length `_AXIS_UNIT`."""
    gram = points.T @ points
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, 1 << 32], dtype=np.uint64)
    raw = np.random.Philox(key=key).random_raw(BUCKETS * AXES) >> np.uint64(52)
    axes = raw.astype(np.float64).reshape(BUCKETS, AXES) - 2048
    for _ in range(TURNS):
        turned = gram @ axes
        for number in range(AXES):
            axis = np.round(turned[:, number] * (2.0**20 / max(np.abs(turned[:, number]).max(), 1.0)))
            for before in axes.T[:number]:
                axis -= np.round(before * (float(axis @ before) / max(float(before @ before), 1.0)))
            axes[:, number] = _rounded(axis[None], _AXIS_UNIT)[0]
    return axes


def _rounded(rows: Whole, unit: int = _UNIT) -> Whole:
    """Rows at one length; a row of zeros stays one."""
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    scaled: Whole = np.round(rows / np.maximum(length, 1.0) * unit)
    return scaled


def _fit(points: Whole, count: int, seed: int, start: int) -> Whole:
    """Centres (groups, buckets) of one start: k-means++ (Arthur and Vassilvitskii 2007), then Lloyd's rounds."""
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, start], dtype=np.uint64)
    draws = np.random.Philox(key=key).random_raw(count) >> np.uint64(11)
    chosen = [int(draws[0] % np.uint64(len(points)))]
    while len(chosen) < min(count, len(points)):
        gap = np.maximum(_UNIT**2 - (points @ points[chosen].T).max(axis=1, initial=0.0), 0.0)
        total = np.cumsum(gap)
        if total[-1] <= 0:
            break
        chosen.append(int(np.searchsorted(total, float(draws[len(chosen)]) * 2.0**-53 * total[-1], side="right")))
    centres = points[chosen]
    assigned = np.full(len(points), -1)
    for _ in range(ROUNDS):
        nearest = (points @ centres.T).argmax(axis=1)
        if np.array_equal(nearest, assigned):
            break
        assigned = nearest
        sums = np.stack([points[assigned == group].sum(axis=0) for group in range(len(centres))])
        # A group that ran empty keeps its centre.
        centres = np.where(sums.any(axis=1, keepdims=True), _rounded(sums), centres)
    return centres


def _merit(points: Whole, centres: Whole) -> tuple[bool, float]:
    """Whether no group starves, then how near the points are."""
    nearness = points @ centres.T
    sizes = np.bincount(nearness.argmax(axis=1), minlength=len(centres))
    return bool(sizes.min() * len(centres) >= _LEAST_SPREAD * len(points)), float(nearness.max(axis=1).sum())
