"""The bins of the next steps, laid in a thread of their own while this step is under way.

Which bins a step has follows from its number and the size of a bin alone, so whoever lays them lays the same. Several
steps are laid in one go: a thread that wakes finds its code and data gone from the caches, and pays for that once.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Final

from engine.data.batches import Bin, Steps, make_bins

AHEAD: Final = 8
"""Steps laid in one go."""

Wanted = tuple[int, int]
"""A step, counted from 0, and the most tokens of a bin."""
Asked = SimpleQueue[Wanted | None]
Laid = SimpleQueue[Sequence[Bin] | BaseException]


class Ahead:
    """Bins by step, quickest where steps are asked for one after the other. For one thread to ask."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._asked: Asked = SimpleQueue()
        self._laid: Laid = SimpleQueue()
        self._coming: deque[Wanted] = deque()
        self._thread: threading.Thread | None = None
        # The thread knows the queues, not their owner: it ends when nobody can ask any more.
        weakref.finalize(self, self._asked.put, None)

    def bins(self, step: int, bin_tokens: int) -> Sequence[Bin]:
        """The bins that follow `step` completed steps; those of the steps after it are begun.

        Raises `ValueError` for a conversation above `bin_tokens`.
        """
        bins = self._take((step, bin_tokens))
        if not self._coming:
            for each in range(step + 1, step + 1 + AHEAD):
                self._ask((each, bin_tokens))
        return bins

    def _ask(self, wanted: Wanted) -> None:
        if self._thread is None:
            work = (self._steps, self._asked, self._laid)
            thread = threading.Thread(target=_lay_all, args=work, name="bins", daemon=True)
            thread.start()
            self._thread = thread
        self._coming.append(wanted)
        self._asked.put(wanted)

    def _take(self, wanted: Wanted) -> Sequence[Bin]:
        """What the thread has laid, where it is what is wanted: after a resume or with smaller bins it is not."""
        while self._coming:
            # In this order: were the wait cut short, what is coming would still be what it is taken for.
            laid = self._laid.get()
            coming = self._coming.popleft()
            if coming == wanted:
                if isinstance(laid, BaseException):
                    raise laid
                return laid
        return _lay(self._steps, wanted)


def _lay(steps: Steps, wanted: Wanted) -> Sequence[Bin]:
    step, bin_tokens = wanted
    return make_bins(steps.at(step), bin_tokens)


def _lay_all(steps: Steps, asked: Asked, laid: Laid) -> None:
    while (wanted := asked.get()) is not None:
        try:
            laid.put(_lay(steps, wanted))
        except BaseException as error:  # noqa: BLE001  (raised again by whoever asks for that step)
            laid.put(error)
