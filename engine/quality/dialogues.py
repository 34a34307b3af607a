"""Replies of the trained model and of its base to the same clients, beside what the therapist said there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from configs.errors import DataError
from engine.data.conversation import Conversation, Role, Turn
from engine.data.sampler import order
from engine.data.template import GENERAL, Renderer
from engine.quality.speaker import Reply, Speaker

if TYPE_CHECKING:
    from engine.quality.bench import Bench

_CHUNK: Final = 16
"""Replies asked for at once, so that progress is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogues:
    """One client turn a conversation and the answers to it, in equal order."""

    contexts: tuple[tuple[Turn, ...], ...]
    references: tuple[str, ...]
    tuned: tuple[Reply, ...]
    base: tuple[Reply, ...]


def speak(bench: Bench) -> Dialogues:
    """Generate them greedily; raises `DataError` where no conversation leaves room for a reply."""
    settings = bench.settings
    chosen = drawn(bench.held.conversations, bench.held.domains, settings.replies, settings.seed, bench.renderer)
    if not chosen:
        raise DataError(
            f"Every conversation of {bench.held.name} is too long for a reply of {settings.max_tokens} tokens within "
            "the model's context. Lower --max-tokens, or name other conversations with --test-data."
        )
    contexts = tuple(context for context, _ in chosen)

    def replies(speaker: Speaker, task: str) -> tuple[Reply, ...]:
        made: list[Reply] = []
        bench.progress(task, 0, len(contexts))
        for piece in _pieces(contexts):
            made += speaker.replies(piece, max_tokens=settings.max_tokens)
            bench.progress(task, len(made), len(contexts))
        return tuple(made)

    return Dialogues(
        contexts=contexts,
        references=tuple(reference for _, reference in chosen),
        tuned=replies(bench.tuned, "replies, trained"),
        base=replies(bench.base, "replies, base"),
    )


def drawn(
    conversations: Sequence[Conversation], domains: Sequence[str], count: int, seed: int, renderer: Renderer
) -> list[tuple[tuple[Turn, ...], str]]:
    """At most `count` pairs of a context, which ends with the client, and the therapist's answer to it.

    One a conversation, at a turn that seed and row decide, every domain in its share; only contexts that fit.
    """
    places = {name: index for index, name in enumerate(domains)}
    labels = [places[each.domain or GENERAL] for each in conversations]
    found: list[tuple[tuple[Turn, ...], str]] = []
    for index in order(seed, 0, len(conversations), labels):
        if len(found) == count:
            break
        one = conversations[index]
        answered = [
            place
            for place in range(1, len(one.turns))
            if one.turns[place].role is Role.THERAPIST and one.turns[place - 1].role is Role.CLIENT
        ]
        if not answered:
            continue
        digest = hashlib.sha256(f"{seed}:{one.row}".encode()).digest()
        place = answered[int.from_bytes(digest[:7], "big") % len(answered)]
        context = one.turns[:place]
        if len(renderer.prompt(context)) <= renderer.max_length:
            found.append((context, one.turns[place].text))
    return found


def _pieces(contexts: Sequence[tuple[Turn, ...]]) -> Iterator[Sequence[tuple[Turn, ...]]]:
    for start in range(0, len(contexts), _CHUNK):
        yield contexts[start : start + _CHUNK]
