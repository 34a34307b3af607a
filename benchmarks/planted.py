"""Conversations in which domains need different answers: the same words, followed by other words in each domain.

A therapist's turn is a chain of words. Which word follows which is a permutation, and each domain has its own, so what
is right in one domain is wrong in the three others; the client's turn says which domain it is. One adapter has to learn
"if grief, then" for every word, experts only have to be told apart: if a mixture helps anywhere, it is here.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

DOMAINS = {"anxiety": "I am anxious", "grief": "I am grieving", "relationships": "We argue", "work": "My boss called"}
"""How a client of each domain begins."""
_WORDS = """
after again always angry answer away baby back because before better big body book both bread bridge bring brother call
calm care chair child city clean clear cold
"""
WORDS = tuple(_WORDS.split())
"""All in the demo's vocabulary."""
LENGTH = 32
"""Words of a therapist's turn."""
PROMPT = 5
"""Words of a client's turn beside its beginning: they make it unlike any other."""
FAITHFUL = 0.9
"""How often the next word is the one that the domain says; else it is any."""
TRAINING, VALIDATION = 160, 40
"""Conversations of each domain."""


def successors(domain: str) -> dict[str, str]:
    """What follows each word in a domain."""
    shuffled = random.Random(f"planted {domain}").sample(WORDS, k=len(WORDS))
    return dict(zip(WORDS, shuffled, strict=True))


def conversation(domain: str, chance: random.Random) -> dict[str, str]:
    """One row of a data set."""
    follows = successors(domain)
    words = [chance.choice(WORDS)]
    while len(words) < LENGTH:
        words.append(follows[words[-1]] if chance.random() < FAITHFUL else chance.choice(WORDS))
    prompt = " ".join(chance.choice(WORDS) for _ in range(PROMPT))
    return {"text": f"Client: {DOMAINS[domain]}: {prompt}\nTherapist: {' '.join(words)}", "domain": domain}


def write(place: Path) -> tuple[Path, Path]:
    """The two files of the task, the same whenever they are made."""
    paths = place / "planted.json", place / "planted-validation.json"
    for path, each in zip(paths, (TRAINING, VALIDATION), strict=True):
        chance = random.Random(path.name)
        rows = [conversation(domain, chance) for _ in range(each) for domain in DOMAINS]
        path.write_text(json.dumps({"conversations": rows}))
    return paths
