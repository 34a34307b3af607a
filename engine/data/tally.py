"""What rendering did to the conversations on the way to tokens, so that nothing is changed without a word."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RenderTally:
    """Counts of one renderer's work; it only ever grows."""

    opened: int = 0
    unanswered: int = 0
    folded: int = 0
    broken_controls: int = 0
    divided: int = 0
    parts: int = 0
    carried_tokens: int = 0
    shortened: int = 0
    cut: int = 0
    unclosed: int = 0
    lost_parts: int = 0
    dropped: list[int] = field(default_factory=list)
    """Rows, as in the lists below."""
    cut_rows: list[int] = field(default_factory=list)
    shortened_rows: list[int] = field(default_factory=list)
    lost_rows: list[int] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """One sentence for everything that happened."""
        first = ", ".join(map(str, self.dropped[:3])) + (", ..." if len(self.dropped) > 3 else "")
        sentences = (
            ("Conversations that begin with the therapist, given a neutral opening client turn", self.opened),
            ("Last client turns left out, since no reply follows to learn from", self.unanswered),
            ("System texts put before the first client turn, as the template has no system role", self.folded),
            ("Control tokens in people's words, broken with a space and read as plain text", self.broken_controls),
            (f"Conversations above max_length, divided at turns into {self.parts:,} parts", self.divided),
            ("Tokens of earlier turns shown again, unlabelled, at the start of such parts", self.carried_tokens),
            ("Exchanges above max_length, the beginning of the client's turn left out", self.shortened),
            ("Replies above max_length even so, their end and end token left out", self.cut),
            ("Parts of long conversations left out, without room for their reply", self.lost_parts),
            ("Replies that this chat template follows with no end token", self.unclosed),
            (f"Conversations left out that could not be rendered faithfully (rows {first})", len(self.dropped)),
        )
        return tuple(f"{sentence}: {count:,}." for sentence, count in sentences if count)
