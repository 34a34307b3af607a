"""Prompts that say nearly the same, so that a split can keep them on one side.

Each prompt is sketched by the smallest hashes of its five-word runs (bottom-k sketches: Broder 1997): two prompts that
share half of their runs have about half of their sketches in common, and 3 in 1,000 such pairs are missed. Pairs whose
sketches meet twice are then confirmed on all their runs. Time and memory grow with the number of prompts, not with
their square: of the many prompts that one boilerplate sentence brings together, each meets its nearest `REACH`.
Hashes and order depend on the words alone, so the order of rows changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

THRESHOLD: Final = 0.5
"""Share of the five-word runs of both that two texts have in common when one nearly repeats the other."""
RUN: Final = 5
LEAST_WORDS: Final = 12
"""Shorter texts ("How are you today?") are alike without anybody having copied them."""
SKETCH: Final = 12
MEETINGS: Final = 2
"""Hashes that two sketches must share to be compared; for half of 12, fewer come in 3 of 1,000 pairs."""
REACH: Final = 8
_CHUNK_WORDS: Final = 500_000
"""Words taken apart at a time: some 60 MB."""
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_NONE: Final = np.iinfo(np.uint64).max

Runs = NDArray[np.uint64]


def echoes(prompts: Sequence[str]) -> list[list[int]]:
    """Groups of two or more positions of `prompts` that nearly repeat one another, directly or through others.

    `prompts` are distinct, lower-case words between single spaces; those under twelve words are alike without anybody
    having copied them, and stand alone.
    """
    order = sorted(range(len(prompts)), key=lambda position: prompts[position])
    texts = [prompts[position] for position in order]
    known = Numbers()
    sketches = np.full((len(texts), SKETCH), _NONE, dtype=np.uint64)
    for begin, stop in _chunks(texts):
        runs, owners = _runs(texts[begin:stop], known)
        place = np.arange(len(runs)) - np.searchsorted(owners, owners)
        low = place < SKETCH
        sketches[owners[low] + begin, place[low]] = runs[low]
    joined = _Joined(len(texts))
    pairs = _meetings(sketches)
    kept = _kept(texts, np.unique(pairs), known)
    before, wanted = -1, frozenset[int]()
    for first, second in pairs.tolist():
        if joined.root(first) == joined.root(second):
            continue
        if first != before:
            before, wanted = first, frozenset(kept[first].tolist())
        shared = len(wanted.intersection(kept[second].tolist()))
        if shared >= THRESHOLD * (len(wanted) + len(kept[second]) - shared):
            joined.join(first, second)
    return [[order[index] for index in group] for group in joined.groups()]


class Numbers(dict[str, int]):
    """A 64-bit number for each word, the same in every process."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = self[word] = int.from_bytes(digest, "little")
        return number


class _Joined:
    """Which of some things belong together, as they are joined (union by the smaller root)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, index: int) -> int:
        parents = self._parents
        while parents[index] != index:
            parents[index] = index = parents[parents[index]]
        return index

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._parents[high] = low

    def groups(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for index, parent in enumerate(self._parents):
            if parent != index:
                root = self.root(index)
                found.setdefault(root, [root]).append(index)
        return list(found.values())


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Stretches of texts with about half a million words each."""
    begin = words = 0
    for index, text in enumerate(texts):
        words += text.count(" ") + 1
        if words >= _CHUNK_WORDS or index == len(texts) - 1:
            yield begin, index + 1
            begin, words = index + 1, 0


def _kept(texts: Sequence[str], wanted: NDArray[np.int64], known: Numbers) -> dict[int, Runs]:
    """The runs of some texts."""
    chosen = [texts[index] for index in wanted.tolist()]
    kept = {}
    for begin, stop in _chunks(chosen):
        runs, owners = _runs(chosen[begin:stop], known)
        edges = np.searchsorted(owners, np.arange(stop - begin + 1)).tolist()
        for number, index in enumerate(wanted[begin:stop].tolist()):
            kept[index] = runs[edges[number] : edges[number + 1]]
    return kept


def _runs(texts: Sequence[str], known: Numbers) -> tuple[Runs, NDArray[np.int64]]:
    """The distinct hashed runs of each text and the text each is from, sorted by text and hash."""
    words = [text.split() for text in texts]
    sizes = np.array([len(said) for said in words], dtype=np.int64)
    numbers = np.fromiter(map(known.__getitem__, chain.from_iterable(words)), dtype=np.uint64, count=int(sizes.sum()))
    if len(numbers) < RUN:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    owners = np.repeat(np.arange(len(texts)), sizes)
    runs = numbers[: len(numbers) - RUN + 1].copy()
    for offset in range(1, RUN):
        runs *= _MULTIPLIER
        runs ^= runs >> np.uint64(29)
        runs += numbers[offset : len(numbers) - RUN + 1 + offset]
    # A last mixing: the smallest hashes must be a fair draw whatever the last word is.
    runs *= _MULTIPLIER
    runs ^= runs >> np.uint64(32)
    whole = (owners[: len(runs)] == owners[RUN - 1 :]) & (sizes[owners[: len(runs)]] >= LEAST_WORDS)
    runs, owners = runs[whole], owners[: len(whole)][whole]
    # Of equal runs of one text a single one stays, so only the second sorting must be a stable one.
    sorting = np.argsort(runs)
    # Of numbers this small NumPy sorts by their digits, which takes a fraction of the time.
    narrow = owners.astype(np.min_scalar_type(len(texts)))
    sorting = sorting[np.argsort(narrow[sorting], kind="stable")]
    runs, owners = runs[sorting], owners[sorting]
    first = np.ones(len(runs), dtype=np.bool_)
    first[1:] = (runs[1:] != runs[:-1]) | (owners[1:] != owners[:-1])
    return runs[first], owners[first]


def _meetings(sketches: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(pairs, 2): texts whose sketches share enough hashes, each pair once, in order."""
    count = len(sketches)
    alike = np.lexsort(sketches.T[::-1])
    rank = np.empty(count, dtype=np.int64)
    rank[alike] = np.arange(count)
    texts, columns = np.nonzero(sketches != _NONE)
    hashes = sketches[texts, columns]
    # In a crowded hash the most alike sketches stand side by side.
    sorting = np.lexsort((rank[texts], hashes))
    hashes, texts = hashes[sorting], texts[sorting]
    codes = []
    for distance in range(1, REACH + 1):
        same = hashes[distance:] == hashes[:-distance]
        if not same.any():
            break
        one, other = texts[:-distance][same], texts[distance:][same]
        codes.append(np.minimum(one, other) * count + np.maximum(one, other))
    if not codes:
        return np.empty((0, 2), dtype=np.int64)
    pairs, meetings = np.unique(np.concatenate(codes), return_counts=True)
    pairs = pairs[meetings >= MEETINGS]
    return np.stack((pairs // count, pairs % count), axis=1)
