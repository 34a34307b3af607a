"""Labelled transcripts ("Therapist: ...", newline, "Client: ...") read into turns.

A label counts only at the start of a line, so "as my client: she" inside a sentence stays a sentence. Training on the
flat text instead would teach the model to play both sides.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final

from engine.data.conversation import Role, Turn, tidy
from states.text import one_line

LABELS: Final = {
    "therapist": Role.THERAPIST,
    "counselor": Role.THERAPIST,
    "counsellor": Role.THERAPIST,
    "t": Role.THERAPIST,
    "client": Role.CLIENT,
    "patient": Role.CLIENT,
    "c": Role.CLIENT,
    "p": Role.CLIENT,
}
_WORDS: Final = tuple(label for label in LABELS if len(label) > 1)

# A colon (ASCII or full width) ends a label unless a path follows (C:\notes, C://); a hyphen only when white space
# follows, so that a line may begin with "T-shirt" or "P-value".
_LABEL: Final = re.compile(
    r"[ \t]*(" + "|".join(sorted(LABELS, key=len, reverse=True)) + r")[ \t]*(?:[:\uff1a](?![\\/])|-(?=\s|$))[ \t]*",
    re.IGNORECASE,
)
# What a label of another vocabulary looks like: up to three short capitalised words or numbers and a colon.
_LABEL_LIKE: Final = re.compile(r"[ \t]*([A-Z][\w.]{0,19}(?: [A-Z0-9][\w.]{0,14}){0,2})[ \t]*[:\uff1a](?![\\/])")


class TranscriptError(ValueError):
    """The text is not a labelled transcript; the message never quotes more than a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Turns of one text, and what was noticed on the way."""

    turns: tuple[Turn, ...]
    empty: int
    merged: int
    suspects: tuple[str, ...]
    """Line starts that resemble a known label (`Clent:`); their lines were read as continuations."""


def parse(text: str) -> tuple[Turn, ...]:
    """The turns of a labelled transcript; raises `TranscriptError`."""
    return read_transcript(text).turns


def read_transcript(text: str) -> Transcript:
    """Split at line-anchored labels, join continuation lines, merge neighbours of one role."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    turns: list[tuple[Role, list[str]]] = []
    lead_in = 0
    suspects: list[str] = []
    for number, line in enumerate(lines, start=1):
        label = _LABEL.match(line)
        if label:
            turns.append((LABELS[label[1].lower()], [line[label.end() :]]))
        elif turns:
            turns[-1][1].append(line)
            suspects.extend(_suspect(line))
        elif line.strip() and not lead_in:
            lead_in = number
    if not turns:
        raise TranscriptError(_no_labels(lines))
    if lead_in:
        raise TranscriptError(
            f"line {lead_in} of its text stands before the first label; begin every turn with "
            '"Therapist:" or "Client:", or remove the heading'
        )
    tidied = tidy(Turn(role=role, text="\n".join(parts)) for role, parts in turns)
    return Transcript(turns=tidied.turns, empty=tidied.empty, merged=tidied.merged, suspects=tuple(suspects))


def _suspect(line: str) -> list[str]:
    found = _LABEL_LIKE.match(line)
    if not found or not difflib.get_close_matches(found[1].lower(), _WORDS, n=1, cutoff=0.8):
        return []
    return [one_line(found[1], 24)]


def _no_labels(lines: list[str]) -> str:
    """Name the labels that were meant, where line starts look like labels; otherwise say what is missing."""
    found: dict[str, None] = {}
    for line in lines:
        match = _LABEL_LIKE.match(line)
        if match:
            found[one_line(match[1], 24)] = None
    if not found:
        return 'its text has no "Therapist:" or "Client:" label at the start of a line'
    hints = []
    for label in list(found)[:3]:
        close = difflib.get_close_matches(label.lower(), _WORDS, n=1, cutoff=0.6)
        hints.append(f'"{label}:"' + (f' (did you mean "{close[0].capitalize()}:"?)' if close else ""))
    return (
        f"its labels are not known: {', '.join(hints)}; label every turn with "
        '"Therapist:", "Counselor:" or "T:", and "Client:", "Patient:" or "C:"'
    )
