"""The base model's reading list: an endless, seeded stream of documents, plain or in the chat template's shape."""

import random
from collections.abc import Iterator

from configs.demo.make import everyday_text, library_text
from configs.demo.make.everyday_text import Turns

SHARES = {
    "library": 0.40,
    "library_chat": 0.14,
    "passage": 0.06,
    "dialogue": 0.08,
    "pattern": 0.10,
    "pattern_chat": 0.22,
}
"""How often each kind is drawn. Hand-written text is scarce, so it is drawn seldom: repeated often, it is memorised."""


def chat(turns: Turns) -> str:
    """Render turns as the chat template does; base_model.check_template compares the two."""
    shapes = {"user": "[INST] {} [/INST]", "assistant": " {}</s>"}
    return "<s>" + "".join(shapes[role].format(text) for role, text in turns)


def documents(seed: int) -> Iterator[str]:
    """Yield documents for ever; the same seed yields the same ones."""
    rng = random.Random(seed)
    paragraphs, passages, dialogues = library_text.paragraphs(), everyday_text.passages(), everyday_text.dialogues()
    kinds, shares = list(SHARES), list(SHARES.values())
    while True:
        match rng.choices(kinds, shares)[0]:
            case "library":
                yield _plain(rng.choice(paragraphs))
            case "library_chat":
                yield _told(rng, [rng.choice(paragraphs) for _ in range(rng.randint(1, 3))])
            case "passage":
                text = rng.choice(passages)
                yield _plain(text) if rng.random() < 0.5 else _told(rng, [text])
            case "dialogue":
                yield chat([turn for _ in range(rng.randint(1, 3)) for turn in rng.choice(dialogues)])
            case "pattern":
                yield _plain(everyday_text.remark(rng, 8))
            case "pattern_chat":
                yield chat(_exchange(rng))


def _plain(text: str) -> str:
    return f"<s>{text}</s>"


def _told(rng: random.Random, paragraphs: list[str]) -> str:
    """Cut each paragraph in two: the first sentences are the user's, the rest the assistant's."""
    turns: Turns = []
    for paragraph in paragraphs:
        parts = library_text.sentences(paragraph)
        if len(parts) < 2:
            return _plain(paragraph)
        cut = rng.randint(1, len(parts) - 1)
        turns += [("user", " ".join(parts[:cut])), ("assistant", " ".join(parts[cut:]))]
    return chat(turns)


def _exchange(rng: random.Random) -> Turns:
    return [(role, everyday_text.remark(rng, 4)) for _ in range(rng.randint(1, 4)) for role in ("user", "assistant")]
