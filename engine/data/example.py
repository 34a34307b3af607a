"""What training sees of a conversation: token ids and which of them are targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

NO_TARGET: Final = -100
"""The label of a token that carries no loss; PyTorch's default `ignore_index`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One conversation, or one part of a long one.

    `ids` and `labels`: (tokens,) int32, aligned: a target's label is its own id, every other label is `NO_TARGET`.
    """

    ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    domain_index: int
    conversation: int
    """`Conversation.row` of its source."""
    part: int = 0
    """Counts the parts of a conversation that was too long."""

    @property
    def tokens(self) -> int:
        """Length in tokens."""
        return len(self.ids)

    @property
    def targets(self) -> int:
        """Tokens that carry loss; the first token can never be one, nothing predicts it."""
        return int(np.count_nonzero(self.labels[1:] != NO_TARGET))
