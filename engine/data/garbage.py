"""Looks for garbage more seldom while a data set is read.

Conversations and tokens are objects by the million that form no cycles. Python's collector goes through them all the
same, each time some hundreds have been made: an eighth of the processor time of `dataset validate`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SELDOM: Final = (50_000, 20, 50)
"""New objects, and collections of the younger generation, between collections; Python begins with hundreds and 10."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """A block, or as a decorator a function, in which the collector runs seldom; what it was set to comes back."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
