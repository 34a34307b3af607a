"""Arithmetic of expert usage: counts as shares, and what a table of shares says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import zip_longest


def shares(counts: Sequence[int], width: int) -> tuple[float, ...]:
    """Counts as shares of their sum, `width` of them; empty when nothing was counted."""
    if not counts or len(counts) != width or min(counts) < 0:
        counts = [max(0, count) for count in counts[:width]] + [0] * (width - len(counts))
    total = sum(counts)
    return tuple([count / total for count in counts]) if total else ()


def entropy(share: Sequence[float]) -> float:
    """Shannon entropy in nats; ln(len) for a uniform distribution."""
    # 0.0 minus, not a leading minus: a single expert has entropy 0.0, not -0.0.
    return 0.0 - sum([p * math.log(p) for p in share if p > 0])


def variation(share: Sequence[float]) -> float:
    """Coefficient of variation of usage: standard deviation over mean (Shazeer et al. 2017); 0 is balanced."""
    even = mean(share)
    return math.sqrt(mean([(p - even) ** 2 for p in share])) / even if even else 0.0


def mutual_information(table: Sequence[Sequence[int]]) -> float | None:
    """Between rows (domains) and columns (experts) of a table of counts, nats; None with fewer than two filled rows.

    With `k` equally weighted experts of `E` on each token it is at most ln(E / k). It is biased upwards in a small
    sample: compare it with its value under permuted domains.
    """
    rows = [row if min(row, default=0) >= 0 else [max(0, count) for count in row] for row in table]
    rows = [row for row in rows if sum(row) > 0]
    if len(rows) < 2:
        return None
    total = sum(map(sum, rows))
    columns = [sum(column) / total for column in zip_longest(*rows, fillvalue=0)]
    information = 0.0
    for row in rows:
        part = sum(row) / total
        information += sum(
            [n / total * math.log(n / total / (part * column)) for n, column in zip(row, columns, strict=False) if n]
        )
    return max(0.0, information)


def columns(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The mean of each column; empty without rows."""
    return tuple([sum(column) / len(rows) for column in zip(*rows, strict=True)])


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    return sum(values) / len(values)


def mean_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there and finite; None without any."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return mean(known) if known else None
