"""Load the written fragments and part them into training and validation pools before anything is assembled.

A fragment may end in ` #tag`. A therapist's reply with a tag answers only the client's fragment with the same tag, and
goes to the same split. Parting before assembly is what keeps any written sentence from standing in both splits.
"""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "fragments"
DOMAINS = ("anxiety", "grief", "relationships", "work")
VALIDATION_SHARE = 0.25
ANSWERS = {"echo": "tell", "closing": "uptake"}
"""Pools of replies, each with the pool whose tags it answers."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A few sentences by one speaker; `tag` binds a reply to what it answers, empty where it fits any."""

    text: str
    tag: str = ""


Pool = tuple[Fragment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """One line of exploration: the therapist asks, the client tells, the therapist gives it back."""

    ask: Pool
    tell: Pool
    echo: Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """All that one split may use for conversations about one topic, the domain's shared fragments included."""

    domain: str
    name: str
    opening: Pool
    reflection: Pool
    suggestion: Pool
    greeting: Pool
    uptake: Pool
    closing: Pool
    threads: tuple[Thread, ...]
    shared_threads: tuple[Thread, ...]


def slots() -> dict[str, list[str]]:
    """Return the values for the `{slot}` places in fragments."""
    return tomllib.loads((FOLDER / "slots.toml").read_text(encoding="ascii"))


def topics(seed: int, split: str) -> list[Topic]:
    """Return every topic with only the fragments of `split`, which is `training` or `validation`."""
    found: list[Topic] = []
    for domain in DOMAINS:
        shared = _table(FOLDER / domain / "shared.toml", seed, split)
        for path in sorted((FOLDER / domain).glob("*.toml")):
            if path.stem == "shared":
                continue
            own = _table(path, seed, split)
            threads = {"threads": own.pop("thread"), "shared_threads": shared["thread"]}
            general = {key: pool for key, pool in shared.items() if key != "thread"}
            found.append(Topic(domain=domain, name=path.stem, **own, **general, **threads))
    return found


def _table(path: Path, seed: int, split: str) -> dict[str, Any]:
    written = tomllib.loads(path.read_text(encoding="ascii"))
    threads = written.pop("thread")
    label = f"{seed}/{path.parent.name}/{path.stem}"
    table: dict[str, Any] = _parted(written, label, split)
    table["thread"] = tuple(Thread(**_parted(thread, f"{label}/{k}", split)) for k, thread in enumerate(threads))
    return table


def _parted(texts: dict[str, list[str]], label: str, split: str) -> dict[str, Pool]:
    """Return each pool's share for `split`; pools draw from seeds of their own, so editing one moves no other."""
    pools = {key: [Fragment(*text.split(" #")) for text in written] for key, written in texts.items()}
    held: dict[str, set[Fragment]] = {}
    for key in sorted(pools, key=lambda name: name in ANSWERS):
        prompt = held.get(ANSWERS.get(key, ""), set())
        bound = {fragment for fragment in pools[key] if fragment.tag} if key in ANSWERS else set()
        free = [fragment for fragment in pools[key] if fragment not in bound]
        held[key] = _drawn(free, f"{label}/{key}")
        held[key] |= {fragment for fragment in bound if fragment.tag in {asked.tag for asked in prompt}}
    return {
        key: tuple(fragment for fragment in pool if (fragment in held[key]) == (split == "validation"))
        for key, pool in pools.items()
    }


def _drawn(free: list[Fragment], label: str) -> set[Fragment]:
    num_held = max(1, round(VALIDATION_SHARE * len(free)))
    if num_held >= len(free):
        raise ValueError(f"{label}: too few fragments that fit anywhere; each split needs one of its own")
    return set(random.Random(label).sample(free, num_held))
