"""What a run reads before any tokenizer is loaded: the conversations of both sides and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.data.conversation import Conversation
from engine.data.formats import Dataset

Progress = Callable[[str, int, int], None]
"""Hears (task, done, total); the first call of a task has done 0, its last has done == total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Conversations of both sides before any tokenizer is loaded."""

    train: tuple[Conversation, ...]
    validation: tuple[Conversation, ...]
    domains: tuple[str, ...]
    """Sorted; `general` stands for conversations that name none."""
    datasets: tuple[Dataset, ...]
    """The training file, and the validation file if one is named."""
    notes: tuple[str, ...]
    made: tuple[str, ...] = ()
    """Domains that are groups by wording and no labels of the data."""
