"""Everyday English for the base model: short passages, small dialogues, and sentences drawn from wide patterns.

None of it is demo conversation: what the fine-tune is to learn must not stand in the base's own reading.
"""

import random
import re
import tomllib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "everyday"
SLOT = re.compile(r"\{(\w+)\}")

Turns = list[tuple[str, str]]
"""(role, text) pairs; roles alternate `user`, `assistant`."""


def passages() -> list[str]:
    """Return the hand-written passages."""
    return (FOLDER / "prose.txt").read_text(encoding="ascii").strip().split("\n\n")


def dialogues() -> list[Turns]:
    """Return the hand-written question-and-answer exchanges."""
    roles = {"Q": "user", "A": "assistant"}
    blocks = (FOLDER / "dialogues.txt").read_text(encoding="ascii").strip().split("\n\n")
    return [[(roles[line[0]], line[3:]) for line in block.splitlines()] for block in blocks]


def sentence(rng: random.Random) -> str:
    """Draw one pattern and fill its slots."""
    patterns, words = _sources()
    filled = SLOT.sub(lambda slot: rng.choice(words[slot[1]]), rng.choice(patterns))
    return filled[0].upper() + filled[1:]


def remark(rng: random.Random, longest: int) -> str:
    """Draw between one and `longest` sentences."""
    return " ".join(sentence(rng) for _ in range(rng.randint(1, longest)))


@cache
def _sources() -> tuple[list[str], dict[str, list[str]]]:
    patterns = (FOLDER / "patterns.txt").read_text(encoding="ascii").splitlines()
    return patterns, tomllib.loads((FOLDER / "words.toml").read_text(encoding="ascii"))
