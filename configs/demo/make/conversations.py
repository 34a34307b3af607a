"""Assemble the demo's training and validation conversations from the written fragments.

Run from the repository root: `python -m configs.demo.make.conversations`. The same seed writes the same bytes.
"""

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path

from configs.demo.make.fragments import DOMAINS, Fragment, Pool, Topic, slots, topics

DEMO = Path(__file__).resolve().parents[1]
SEED = 11
PER_DOMAIN = {"training": 105, "validation": 24}
FILES = {"training": "conversations.json", "validation": "validation.json"}
THERAPIST_FIRST_EVERY = 6
NUM_TRIES = 2000

SHAPES = ((1, False), (1, True), (2, False), (2, True), (2, True), (3, False), (3, True))
"""(threads explored, whether the client answers the suggestion), drawn evenly: 4 to 10 turns, a greeting aside."""

HE = re.compile(r"\b(he|him|his|himself|husband|father|dad|boyfriend|uncle)\b", re.IGNORECASE)
SHE = re.compile(r"\b(she|her|hers|herself|wife|mother|mum|girlfriend)\b", re.IGNORECASE)

SENTENCE_START = re.compile(r"(?:(?<=[.!?] )|(?<=^Client: )|(?<=^Therapist: ))[a-z]", re.MULTILINE)


class Assembler:
    """Draws conversations of one split, preferring fragments that were used least."""

    def __init__(self, seed: int, split: str) -> None:
        self.rng = random.Random(f"{seed}/{split}")
        self.topics = topics(seed, split)
        self.slots = slots()
        self.uses: Counter[Fragment] = Counter()
        self.written: set[str] = set()

    def domain(self, domain: str, size: int) -> list[str]:
        """Return `size` different conversations, its topics in rotation."""
        own = [topic for topic in self.topics if topic.domain == domain]
        return [self.conversation(own[number % len(own)], number) for number in range(size)]

    def conversation(self, topic: Topic, number: int) -> str:
        """Draw until the parts agree with one another and the whole has not been written before.

        Raises:
            RuntimeError: The topic's pools are too small for another conversation.
        """
        for _ in range(NUM_TRIES):
            parts = self._draw(topic, greets=number % THERAPIST_FIRST_EVERY == THERAPIST_FIRST_EVERY - 1)
            text = self._filled(parts)
            if _agree(parts) and text not in self.written:
                self.written.add(text)
                self.uses.update(fragment for _, fragments in parts for fragment in fragments)
                return text
        raise RuntimeError(f"{topic.domain}/{topic.name}: no further conversation found; write more fragments")

    def _draw(self, topic: Topic, *, greets: bool) -> list[tuple[str, list[Fragment]]]:
        num_threads, has_uptake = self.rng.choice(SHAPES)
        own = self.rng.sample(topic.threads, min(num_threads, len(topic.threads), self.rng.randint(1, 2)))
        threads = own + self.rng.sample(topic.shared_threads, num_threads - len(own))
        parts = [("Therapist", [self._pick(topic.greeting)])] if greets else []
        parts.append(("Client", [self._pick(topic.opening)]))
        reply = self._pick(topic.reflection)
        for thread in threads:
            told = self._pick(thread.tell)
            parts += [("Therapist", [reply, self._pick(thread.ask)]), ("Client", [told])]
            reply = self._pick(thread.echo, told.tag)
        parts.append(("Therapist", [reply, self._pick(topic.suggestion)]))
        if has_uptake:
            answer = self._pick(topic.uptake)
            parts += [("Client", [answer]), ("Therapist", [self._pick(topic.closing, answer.tag)])]
        return parts

    def _pick(self, pool: Pool, tag: str | None = None) -> Fragment:
        """Draw by the inverse square of past uses; a reply (`tag` given) must fit what it answers."""
        fitting = [fragment for fragment in pool if tag is None or fragment.tag in {"", tag}]
        closest = [fragment for fragment in fitting if tag and fragment.tag == tag]
        if closest and self.rng.random() < 0.6:
            return closest[0]
        weights = [1 / (1 + self.uses[fragment]) ** 2 for fragment in fitting]
        return self.rng.choices(fitting, weights)[0]

    def _filled(self, parts: list[tuple[str, list[Fragment]]]) -> str:
        values = {slot: self.rng.choice(choices) for slot, choices in self.slots.items()}
        lines = (f"{speaker}: {' '.join(fragment.text for fragment in fragments)}" for speaker, fragments in parts)
        filled = "\n".join(line.format(**values) for line in lines)
        return SENTENCE_START.sub(lambda start: start[0].upper(), filled)


def _agree(parts: list[tuple[str, list[Fragment]]]) -> bool:
    """Tell whether nobody changes from he to she: fragments that know only one of them must know the same one."""
    texts = [fragment.text for _, fragments in parts for fragment in fragments]
    known = {(bool(HE.search(text)), bool(SHE.search(text))) for text in texts}
    return not {(True, False), (False, True)} <= known


def write(split: str, folder: Path, seed: int = SEED) -> None:
    """Write one split, domains interleaved, one conversation per line so that a change shows as one line."""
    assembler = Assembler(seed, split)
    by_domain = [assembler.domain(domain, PER_DOMAIN[split]) for domain in DOMAINS]
    rounds = zip(*by_domain, strict=True)
    rows = [{"text": text, "domain": domain} for texts in rounds for domain, text in zip(DOMAINS, texts, strict=True)]
    lines = ",\n".join(json.dumps(row) for row in rows)
    (folder / FILES[split]).write_text('{"conversations": [\n' + lines + "\n]}\n", encoding="ascii")


def main() -> None:
    """Write both splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=DEMO)
    options = parser.parse_args()
    for split in FILES:
        write(split, options.output_dir)


if __name__ == "__main__":
    main()
