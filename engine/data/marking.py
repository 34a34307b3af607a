"""A preview as lines: target tokens in colour on a terminal, between marks elsewhere; neighbours kept short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engine.data.previewing import Member, Seen
from states.text import clean

_GREEN: Final = "\x1b[32m"
_PLAIN: Final = "\x1b[0m"
MARKS: Final = ("\u00ab", "\u00bb")
ASCII_MARKS: Final = ("<<", ">>")
_EDGE: Final = 60
"""Characters of a neighbour's beginning and end that are shown."""


def preview_lines(seen: list[Seen], *, unit: str, colour: bool, marks: tuple[str, str]) -> Iterator[str]:
    """Every bin, its members separated by a line that says whose they are."""
    before, after = (_GREEN, _PLAIN) if colour else marks
    yield f"Target tokens, which carry loss, are {'green' if colour else f'between {before} and {after}'}."
    for each in seen:
        when = "validation" if each.step is None else f"step {each.step:,} of the first epoch"
        yield f"== {when}, bin {each.number} of {each.bins}: {sum(member.tokens for member in each.members):,} tokens"
        for member in each.members:
            part = f", part {member.part + 1}" if member.part else ""
            whose = f"{unit} {member.row}{part}" + (" (this one)" if member.wanted else "")
            yield (f"-- {whose}: {member.tokens:,} tokens from position {member.start:,}, {member.targets:,} targets")
            text = "".join(
                f"{before}{clean(piece.text)}{after}" if piece.target else clean(piece.text) for piece in member.pieces
            )
            yield text if member.wanted else _edges(member)


def preview_json(seen: list[Seen]) -> list[dict[str, Any]]:
    """Every bin with every token."""
    return [
        {
            "step": each.step,
            "bin": each.number,
            "bins": each.bins,
            "members": [
                {
                    "row": member.row,
                    "part": member.part,
                    "wanted": member.wanted,
                    "start": member.start,
                    "tokens": member.tokens,
                    "targets": member.targets,
                    "pieces": [
                        {"target": piece.target, "ids": list(piece.ids), "text": clean(piece.text)}
                        for piece in member.pieces
                    ],
                }
                for member in each.members
            ],
        }
        for each in seen
    ]


def _edges(member: Member) -> str:
    """A neighbour's beginning and end, unmarked: enough to see where it stops and the next one starts."""
    text = " ".join(clean("".join(piece.text for piece in member.pieces)).split())
    return text if len(text) <= 2 * _EDGE + 5 else f"{text[:_EDGE]} ... {text[-_EDGE:]}"
