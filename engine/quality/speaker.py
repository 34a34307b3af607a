"""What the checks ask of a model: replies to a conversation, and how likely a given reply is. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.data.conversation import Turn

Progress = Callable[[str, int, int], None]
"""Hears (task, done, total): the first call of a task has done 0, its last has done == total."""

Stop = Callable[[], bool]
"""Whether a person asked for an end. A speaker asked for replies or scores then raises `Interrupted` by itself."""


class Interrupted(Exception):  # noqa: N818  (what a person did, not a mistake)
    """The work was stopped half way; what was finished before stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One generated therapist turn. Its text is untrusted: show it only where a person asked for it."""

    text: str
    tokens: int
    ended: bool
    """It ended itself, by the template's end of turn; False where the limit cut it off."""
    shares: tuple[float, ...] = ()
    """Of its routed tokens, by expert, mean over layers; empty without routers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How likely a therapist turn is after what stands before it."""

    nll: float
    """Nats, summed over `tokens`."""
    tokens: int
    """Of the turn with its end."""


class Speaker(Protocol):
    """A model that takes the therapist's part, through the chat template that it was trained with."""

    def replies(
        self, contexts: Sequence[Sequence[Turn]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[Reply]:
        """One reply to each context, which ends with a client's turn; greedy at temperature 0."""
        ...

    def scores(self, contexts: Sequence[Sequence[Turn]], replies: Sequence[str]) -> list[Score]:
        """The likelihood of each given reply after its context."""
        ...
