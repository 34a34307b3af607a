"""A conversation as the whole program sees it: turns with roles, whatever file they came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks. The therapist is the side that is trained."""

    THERAPIST = "therapist"
    CLIENT = "client"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One person's words, without surrounding white space and never empty."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Turns in order, neighbours of different roles.

    `row` is where a person finds it: the 1-based row of a JSON list, the line of a JSON Lines file.
    """

    turns: tuple[Turn, ...]
    domain: str | None
    row: int

    @property
    def trainable(self) -> bool:
        """Whether a therapist answers a client somewhere."""
        client_spoke = False
        for turn in self.turns:
            if turn.role is Role.CLIENT:
                client_spoke = True
            elif turn.role is Role.THERAPIST and client_spoke:
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """Turns after tidying, and how many were empty or joined to the turn before."""

    turns: tuple[Turn, ...]
    empty: int
    merged: int


def tidy(turns: Iterable[Turn]) -> Tidied:
    """Strip every turn, leave out empty ones, and join neighbours of the same role with a newline.

    Chat templates insist on alternating roles, so two turns of one person in a row become one.
    """
    result: list[Turn] = []
    empty = merged = 0
    for turn in turns:
        text = turn.text.strip()
        if not text:
            empty += 1
        elif result and result[-1].role is turn.role:
            result[-1] = Turn(role=turn.role, text=f"{result[-1].text}\n{text}")
            merged += 1
        else:
            result.append(Turn(role=turn.role, text=text))
    return Tidied(turns=tuple(result), empty=empty, merged=merged)
