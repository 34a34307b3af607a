"""Near-duplicates by exact overlap: texts that share at least half of their five-word runs.

Jaccard 0.5 over runs of five words means that about nine of ten words are unchanged. Candidates come from an inverted
index over each text's rarest runs: two sets with Jaccard of at least t share a run among the n - ceil(t * n) + 1
rarest of each (prefix filtering: Chaudhuri, Ganti and Kaushik, ICDE 2006). Every candidate is then confirmed on the
whole sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.data.echoes import LEAST_WORDS, RUN, THRESHOLD, Numbers

REACH: Final = 32
"""A run that stands in many texts is compared with the next 32 in file order, which still links a large cluster."""
_WORDS: Final = re.compile(r"\w+")
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two texts, by their positions, and the exact Jaccard index of their runs."""

    first: int
    second: int
    overlap: float


def similar(texts: Sequence[str]) -> list[Pair]:
    """All pairs of texts that share half of their runs, in order; memory is about 60 bytes a word."""
    sets = _runs(texts)
    sizes = np.array([len(each) for each in sets], dtype=np.int64)
    pairs = _candidates(sets, sizes)
    found = []
    for first, second in pairs.tolist():
        a, b = sets[first], sets[second]
        shared = len(np.intersect1d(a, b, assume_unique=True))
        overlap = shared / (len(a) + len(b) - shared)
        if overlap >= THRESHOLD:
            found.append(Pair(first=first, second=second, overlap=overlap))
    return found


def words(text: str) -> list[str]:
    """Words without case and punctuation."""
    return _WORDS.findall(text.casefold())


def _runs(texts: Sequence[str]) -> list[Hashes]:
    """The distinct hashed runs of each text, sorted; empty for a short one."""
    known = Numbers()
    result: list[Hashes] = []
    for text in texts:
        said = words(text)
        if len(said) < LEAST_WORDS:
            result.append(np.empty(0, dtype=np.uint64))
            continue
        numbers = np.fromiter(map(known.__getitem__, said), dtype=np.uint64, count=len(said))
        runs = numbers[: len(said) - RUN + 1].copy()
        for offset in range(1, RUN):
            runs *= _MULTIPLIER
            runs ^= runs >> np.uint64(29)
            runs += numbers[offset : len(said) - RUN + 1 + offset]
        result.append(np.unique(runs))
    return result


def _candidates(sets: Sequence[Hashes], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(pairs, 2): texts that share one of their rarest runs and whose sizes allow the overlap; sorted, each once."""
    if not sizes.sum():
        return np.empty((0, 2), dtype=np.int64)
    runs = np.concatenate(sets)
    texts = np.repeat(np.arange(len(sets), dtype=np.int64), sizes)
    by_run = np.argsort(runs, kind="stable")
    _, inverse, counts = np.unique(runs[by_run], return_inverse=True, return_counts=True)
    rarity = np.empty(len(runs), dtype=np.int64)
    rarity[by_run] = counts[inverse]
    rarest_first = np.lexsort((runs, rarity, texts))
    starts = np.concatenate(([0], np.cumsum(sizes)))[:-1]
    place = np.arange(len(runs)) - np.repeat(starts, sizes)
    prefix = np.repeat(sizes - np.ceil(THRESHOLD * sizes).astype(np.int64) + 1, sizes)
    chosen = rarest_first[place < prefix]
    chosen = chosen[rarity[chosen] > 1]
    chosen = chosen[np.lexsort((texts[chosen], runs[chosen]))]
    run, text = runs[chosen], texts[chosen]
    codes = []
    for distance in range(1, REACH + 1):
        same = run[distance:] == run[:-distance]
        if not same.any():
            break
        first, second = text[:-distance][same], text[distance:][same]
        fits = np.minimum(sizes[first], sizes[second]) >= THRESHOLD * np.maximum(sizes[first], sizes[second])
        codes.append(np.unique(first[fits] * len(sets) + second[fits]))
    pairs = np.unique(np.concatenate(codes)) if codes else np.empty(0, dtype=np.int64)
    return np.stack((pairs // len(sets), pairs % len(sets)), axis=1)
