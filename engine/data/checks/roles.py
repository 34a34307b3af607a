"""Swapped roles: the therapist's questions under the client's label, and the client's story under the therapist's.

A heuristic on both sides at once: clients speak of themselves, therapists speak to "you". It needs enough words of each
and a clear difference, because a warning that is often wrong is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.conversation import Conversation, Role

SWAPPED: Final = Kind(
    code="swapped-roles",
    severity=Severity.WARNING,
    title="Conversations whose roles look swapped",
    remedy="The model would learn to be the client; exchange the labels if so.",
)
_SELF: Final = re.compile(r"\b(?:I|[Mm]e|[Mm]y|[Mm]yself|[Mm]ine)\b")
_YOU: Final = re.compile(r"\b(?:[Yy]ou|[Yy]our|[Yy]ourself|[Yy]ours)\b")
_QUESTION: Final = re.compile(r"\b(?:[Yy]ou|[Yy]our|[Yy]ourself)\b[^.?!\n]{0,200}\?")
_LEAST_WORDS: Final = 12


def swapped_roles(conversation: Conversation) -> Iterator[Finding]:
    """Whether each side speaks as the other should."""
    client = _Voice(turn.text for turn in conversation.turns if turn.role is Role.CLIENT)
    therapist = _Voice(turn.text for turn in conversation.turns if turn.role is Role.THERAPIST)
    if min(client.words, therapist.words) < _LEAST_WORDS:
        return
    if (
        client.you > client.self
        and therapist.self > 2 * therapist.you
        and therapist.self >= 3
        and client.questions > 0
        and therapist.questions == 0
    ):
        sentence = "the client asks about you, and the therapist tells about I and my."
        yield Finding(kind=SWAPPED, row=conversation.row, sentence=sentence)


class _Voice:
    """How one side of a conversation speaks."""

    def __init__(self, texts: Iterable[str]) -> None:
        text = "\n".join(texts)
        self.words = text.count(" ") + text.count("\n") + 1
        self.self = len(_SELF.findall(text))
        self.you = len(_YOU.findall(text))
        self.questions = len(_QUESTION.findall(text)) if "?" in text else 0
