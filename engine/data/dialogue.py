"""Turns arranged as a chat template wants them: an optional system text, then client and therapist in turn.

Templates insist that a user turn comes first and that roles alternate. Training and inference both pass through here,
so the model meets the same arrangement in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.data.conversation import Role, Turn

OPENING: Final = "Hello."
"""What a client is taken to have said when a conversation begins with the therapist; never labelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A client turn and the therapist's answer to it."""

    client: str
    therapist: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A conversation as exchanges; `pending` is a last client turn that nobody answered."""

    system: str
    exchanges: tuple[Exchange, ...]
    pending: str | None = None
    opened: bool = False
    """Whether `OPENING` was put before a therapist who spoke first."""

    def messages(self, *, system_role: bool) -> list[dict[str, str]]:
        """As a template takes them; without a system role the system text is folded into the first user turn."""
        result: list[dict[str, str]] = []
        for exchange in self.exchanges:
            result.append({"role": "user", "content": exchange.client})
            result.append({"role": "assistant", "content": exchange.therapist})
        if self.pending is not None:
            result.append({"role": "user", "content": self.pending})
        if self.system and system_role:
            result.insert(0, {"role": "system", "content": self.system})
        elif self.system and result:
            result[0] = {"role": "user", "content": self.folded_prefix + result[0]["content"]}
        return result

    @property
    def folded_prefix(self) -> str:
        """What stands before the first client text when the template has no system role."""
        return f"{self.system}\n\n" if self.system else ""


def arrange(turns: Sequence[Turn]) -> Dialogue:
    """Pair tidied turns into exchanges; system turns, wherever they stand, are gathered at the front."""
    system = "\n\n".join(turn.text for turn in turns if turn.role is Role.SYSTEM)
    exchanges: list[Exchange] = []
    client: str | None = None
    opened = False
    for turn in turns:
        if turn.role is Role.CLIENT:
            # Only a system turn can have stood between two client turns; together they are one.
            client = turn.text if client is None else f"{client}\n{turn.text}"
        elif turn.role is Role.THERAPIST and client is None and exchanges:
            last = exchanges[-1]
            exchanges[-1] = Exchange(client=last.client, therapist=f"{last.therapist}\n{turn.text}")
        elif turn.role is Role.THERAPIST:
            opened = opened or client is None
            exchanges.append(Exchange(client=OPENING if client is None else client, therapist=turn.text))
            client = None
    return Dialogue(system=system, exchanges=tuple(exchanges), pending=client, opened=opened)
