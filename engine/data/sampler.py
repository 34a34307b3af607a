"""The order of an epoch as a pure function of (seed, epoch): nothing to store at a checkpoint, nothing to skip.

The random words are the raw output of Philox-4x64 keyed by (seed, epoch); word i belongs to conversation i. NumPy
guarantees that raw stream across versions and platforms (NEP 19), unlike the stream of its permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

_MASK: Final = (1 << 64) - 1
_UNIT: Final = 2.0**-53


def order(seed: int, epoch: int, n: int, domains: Sequence[int] | None = None) -> list[int]:
    """A permutation of range(n) for one epoch.

    With `domains` (one index per example) each domain is shuffled by itself and spread evenly: any run of k
    conversations holds a domain within one or two of its share of k. Every conversation still comes exactly once.
    """
    words = np.random.Philox(key=np.array([seed & _MASK, epoch & _MASK], dtype=np.uint64)).random_raw(n + 1)
    shuffled = np.argsort(words[:n], kind="stable")
    if domains is None:
        return [int(index) for index in shuffled]
    if len(domains) != n:
        raise ValueError(f"{len(domains)} domains for {n} examples")
    labels = np.asarray(domains, dtype=np.int64)[shuffled]
    places = np.empty(n, dtype=np.float64)
    for number, domain in enumerate(np.unique(labels)):
        found = np.flatnonzero(labels == domain)
        places[found] = (np.arange(len(found)) + _phase(int(words[n]), number)) / len(found)
    return [int(index) for index in shuffled[np.argsort(places, kind="stable")]]


def _phase(word: int, number: int) -> float:
    """Where in its own spacing a domain begins: golden-ratio steps keep the domains of an epoch out of phase."""
    return ((word >> 11) * _UNIT + number * 0.6180339887498949) % 1.0
