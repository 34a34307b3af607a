"""Rendering a whole data set for its numbers alone: tokens are made, looked at and let go, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.data.conversation import Conversation
from engine.data.example import Example
from engine.data.template import Renderer

CHUNK = 16_384
"""Conversations rendered at a time: some ten million tokens, 100 MB."""

See = Callable[[Sequence[Conversation], Sequence[Example]], None]


@dataclass(slots=True, kw_only=True)
class Lengths:
    """One entry for each example of a side, in order."""

    tokens: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    domains: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def add(self, example: Example) -> None:
        """Count one example."""
        self.tokens.append(example.tokens)
        self.targets.append(example.targets)
        self.domains.append(example.domain_index)
        self.rows.append(example.conversation)

    def by_conversation(self) -> list[int]:
        """Tokens of each conversation, its parts added up."""
        totals: dict[int, int] = {}
        for row, tokens in zip(self.rows, self.tokens, strict=True):
            totals[row] = totals.get(row, 0) + tokens
        return list(totals.values())


def survey(
    renderer: Renderer, conversations: Sequence[Conversation], see: See, progress: Callable[[int], None]
) -> Lengths:
    """The lengths of one side; `see` gets each chunk with its examples, `progress` the conversations done."""
    lengths = Lengths()
    for begin in range(0, len(conversations), CHUNK):
        chunk = conversations[begin : begin + CHUNK]
        examples = renderer.render_all(chunk, lambda done, begin=begin: progress(begin + done))  # type: ignore[misc]
        for example in examples:
            lengths.add(example)
        see(chunk, examples)
    return lengths
