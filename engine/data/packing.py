"""Packs conversations into few bins of nearly equal size, none above the capacity.

The bound is ceil(tokens / bin_tokens) + 1 bins wherever a packing that small exists. It does not always: three items
of 5 in bins of 8 need three bins while the bound is ceil(15 / 8) + 1 = 3, but ten of them need ten and the bound is 8,
since no two share a bin. The number of bins is then the smallest that the searches below find. Few bins keep the device
busy; equal bins keep its peak memory low. Deterministic: equal lengths are told apart by index.
"""

from __future__ import annotations

from collections.abc import Sequence


def pack(lengths: Sequence[int], bin_tokens: int) -> list[list[int]]:
    """Indices of `lengths` by bin; each index once, ascending in its bin, bins by their first index.

    Raises `ValueError` for a length that is not positive or exceeds `bin_tokens`.
    """
    for index, length in enumerate(lengths):
        if not 0 < length <= bin_tokens:
            raise ValueError(f"length {length} of item {index} is not within 1..{bin_tokens}")
    descending = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    count = _fewest_conceivable(lengths, bin_tokens)
    fullest = None
    while True:
        bins = _even(lengths, descending, count)
        if _load(lengths, bins) <= bin_tokens:
            break
        # Equal loads do not fit this count; filling bins to the brim may, and shows how low the count can go.
        if fullest is None:
            fullest = _fill(lengths, descending, bin_tokens)
        if len(fullest) <= count:
            bins = _level(lengths, fullest)
            break
        count += 1
    return sorted((sorted(each) for each in bins if each), key=lambda each: each[0])


def _fewest_conceivable(lengths: Sequence[int], bin_tokens: int) -> int:
    """No packing has fewer bins: not by volume, and no two items above half a bin share one."""
    return max(-(-sum(lengths) // bin_tokens), sum(2 * length > bin_tokens for length in lengths))


def _load(lengths: Sequence[int], bins: list[list[int]]) -> int:
    return max((sum(lengths[index] for index in each) for each in bins), default=0)


def _even(lengths: Sequence[int], descending: Sequence[int], count: int) -> list[list[int]]:
    """Longest processing time first (Graham 1969): each item to the emptiest bin."""
    bins: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for index in descending:
        emptiest = loads.index(min(loads))
        bins[emptiest].append(index)
        loads[emptiest] += lengths[index]
    return bins


def _fill(lengths: Sequence[int], descending: Sequence[int], bin_tokens: int) -> list[list[int]]:
    """Bin after bin, the longest item left and the subset of the others that fills the rest best (subset sums)."""
    left = list(descending)
    bins = []
    while left:
        longest, *others = left
        chosen = {longest, *_best_subset(lengths, others, bin_tokens - lengths[longest])}
        bins.append(sorted(chosen))
        left = [index for index in left if index not in chosen]
    return bins


def _best_subset(lengths: Sequence[int], items: Sequence[int], room: int) -> list[int]:
    """Items whose sum is the largest up to `room`. Bit s of `reachable` says that some subset sums to s."""
    mask = (1 << (room + 1)) - 1
    reachable = 1
    steps = []
    for index in items:
        if lengths[index] > room:
            continue
        steps.append((index, reachable))
        reachable |= (reachable << lengths[index]) & mask
        if reachable >> room:
            break
    total = reachable.bit_length() - 1
    subset = []
    for index, before in reversed(steps):
        if not before >> total & 1:
            subset.append(index)
            total -= lengths[index]
    return subset


def _level(lengths: Sequence[int], bins: list[list[int]]) -> list[list[int]]:
    """Move or swap single items between the fullest and the emptiest bin while that lowers the fullest."""
    bins = [list(each) for each in bins]
    loads = [sum(lengths[index] for index in each) for each in bins]
    for _ in range(4 * sum(map(len, bins))):
        high, low = loads.index(max(loads)), loads.index(min(loads))
        gap = loads[high] - loads[low]
        swaps: list[tuple[int, int, int | None]] = [(lengths[a], a, None) for a in bins[high]]
        swaps += [(lengths[a] - lengths[b], a, b) for a in bins[high] for b in bins[low]]
        useful = [(abs(gap - 2 * moved), moved, a, b) for moved, a, b in swaps if 0 < moved < gap]
        if not useful:
            break
        _, moved, a, b = min(useful, key=lambda each: each[:3])
        bins[high].remove(a)
        bins[low].append(a)
        if b is not None:
            bins[low].remove(b)
            bins[high].append(b)
        loads[high] -= moved
        loads[low] += moved
    return bins
