"""How far a number may be from the truth at a small n: Wilson's interval, a bootstrap, and a permutation test.

Every check here rests on a handful of cases, so a bare share would pretend to more than is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.quality.findings import Measure

Z95 = 1.959963984540054
"""The 97.5% quantile of the normal distribution."""

RESAMPLES = 2000
_CHUNK_VALUES = 2_000_000
"""Values drawn at once: 16 MB."""


def wilson(successes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a share, without continuity correction.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927), 209-212:
    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Raises ValueError unless 0 <= successes <= n, n >= 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share")
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The ends are exactly 0 and 1 there; rounding would leave 1e-17 of them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def share(successes: int, n: int) -> Measure | None:
    """A share with its interval; None of nothing."""
    if n == 0:
        return None
    low, high = wilson(successes, n)
    return Measure(value=successes / n, low=low, high=high)


def mean(values: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> Measure | None:
    """A mean and its 95% percentile bootstrap over `values`; without an interval for one value, None for none."""
    if not values:
        return None
    data = np.asarray(values, dtype=np.float64)
    if len(data) == 1:
        return Measure(value=float(data[0]))
    low, high = spread(data[:, None], seed=seed, resamples=resamples)[0]
    return Measure(value=float(data.mean()), low=low, high=high)


def spread(table: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> list[tuple[float, float]]:
    """95% percentile intervals of the column means of `table` (items, columns) when items are drawn again."""
    quantiles = np.quantile(resampled(table, seed=seed, resamples=resamples), [0.025, 0.975], axis=0)
    return [(float(low), float(high)) for low, high in quantiles.T]


def resampled(table: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """(resamples, columns): the column means of `table` (items, columns) over items drawn with replacement."""
    items = len(table)
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // max(1, table.size))
    means = []
    for start in range(0, resamples, chunk):
        drawn = generator.integers(0, items, (min(chunk, resamples - start), items))
        means.append(table[drawn].mean(axis=1))
    return np.concatenate(means)


def permuted_ranges(table: np.ndarray, *, seed: int, permutations: int = RESAMPLES) -> np.ndarray:
    """(permutations,): max minus min of the column means of `table` (items, groups), groups shuffled within items.

    What the range of group means is when the group's name means nothing.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // max(1, table.size))
    ranges = []
    for start in range(0, permutations, chunk):
        copies = np.broadcast_to(table, (min(chunk, permutations - start), *table.shape))
        means = generator.permuted(copies, axis=2).mean(axis=1)
        ranges.append(means.max(axis=1) - means.min(axis=1))
    return np.concatenate(ranges)
