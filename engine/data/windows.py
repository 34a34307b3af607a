"""Divides a conversation that is too long into parts at its turns, each with some of what came before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Exchanges `start` to `stop` are shown; those from `first` on are labelled, the ones before are carried over."""

    start: int
    first: int
    stop: int

    @property
    def alone(self) -> bool:
        """Whether this is a single exchange, which cannot be divided further."""
        return self.stop - self.start == 1


def windows(preamble: int, costs: Sequence[int], limit: int, carry: int) -> list[Window]:
    """Parts of at most `limit` tokens that label each exchange exactly once, in order.

    `costs` are tokens per exchange, `preamble` those before the first (every part repeats them), `carry` the most
    tokens of earlier exchanges to show again. A single exchange above the limit is a part of its own.
    """
    result: list[Window] = []
    first = 0
    while first < len(costs):
        start, total = first, preamble + costs[first]
        carried = 0
        while start > 0 and carried + costs[start - 1] <= carry and total + costs[start - 1] <= limit:
            start -= 1
            carried += costs[start]
            total += costs[start]
        stop = first + 1
        while stop < len(costs) and total + costs[stop] <= limit:
            total += costs[stop]
            stop += 1
        result.append(Window(start=start, first=first, stop=stop))
        first = stop
    return result
