"""A model opened for talking: one reply at a time as it is written, or many together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from configs.errors import DataError, UsageError
from engine.data.conversation import Turn
from engine.data.template import Renderer
from engine.quality.opening import open_model
from engine.quality.sampling import Sampling
from engine.quality.speaker import Interrupted, Reply, Stop
from engine.quality.speaking import ModelSpeaker
from engine.quality.subject import Subject

_TOGETHER: Final = 16
"""Replies written at once where nobody watches them come."""
_UNFINISHED: Final = "\ufffd"
"""What a tokenizer writes for a character whose bytes have not all come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How replies are made."""

    sampling: Sampling
    max_tokens: int
    seed: int


class Voice:
    """A model with its template, as a person talks to it."""

    def __init__(self, speaker: ModelSpeaker, renderer: Renderer, manner: Manner) -> None:
        self._speaker = speaker
        self._renderer = renderer
        self._manner = manner

    def prompt(self, turns: Sequence[Turn], where: str) -> list[int]:
        """The tokens that ask for a reply; `where` names the words for whoever wrote them. Raises `DataError`."""
        ids = self._renderer.prompt(turns)
        most = self._renderer.max_length
        if len(ids) > most:
            raise DataError(
                f"{where} has {len(ids):,} tokens with its template, and this model takes {most:,}. Shorten it."
            )
        return ids

    def reply(
        self, prompt: Sequence[int], number: int, write: Callable[[str], None], stop: Stop = lambda: False
    ) -> Reply:
        """Write a reply piece by piece; `number` counts replies, so that each draws by itself.

        Stopped half way it is what was written so far, not ended.
        """
        ids: list[int] = []
        shown = 0

        def heard(_prompt: int, token: int) -> None:
            nonlocal shown
            ids.append(token)
            text = self._speaker.text(ids)
            if len(text) > shown and not text.endswith(_UNFINISHED):
                write(text[shown:])
                shown = len(text)

        try:
            (made,) = self._speaker.say(
                [prompt],
                max_tokens=self._manner.max_tokens,
                sampling=self._manner.sampling,
                seed=self._manner.seed,
                first=number,
                stop=stop,
                heard=heard,
            )
        except Interrupted:
            made = Reply(text=self._speaker.text(ids), tokens=len(ids), ended=False)
        write(made.text[shown:])
        return made

    def replies(self, prompts: Sequence[Sequence[int]], stop: Stop) -> Iterator[tuple[int, Reply, float]]:
        """Number, reply and seconds of each, in order; the same replies as one by one. Raises `Interrupted`."""
        for start in range(0, len(prompts), _TOGETHER):
            began = time.perf_counter()
            group = prompts[start : start + _TOGETHER]
            made = self._speaker.say(
                group,
                max_tokens=self._manner.max_tokens,
                sampling=self._manner.sampling,
                seed=self._manner.seed,
                first=start,
                stop=stop,
            )
            each_s = (time.perf_counter() - began) / len(group)
            for offset, reply in enumerate(made):
                yield start + offset, reply, each_s


def open_voice(
    subject: Subject,
    manner: Manner,
    *,
    bare: bool = False,
    base_model: str | None = None,
    chat_template: Path | None = None,
    device: str = "auto",
) -> Voice:
    """Load the model. Raises a `UserError` where that cannot be done, or the replies are longer than its context."""
    adapted, tokenizer = open_model(subject, base_model, device=device, chat_template=chat_template)
    positions = int(getattr(adapted.model.config, "max_position_embeddings", 2048))
    if manner.max_tokens >= positions:
        raise UsageError(f"--max-tokens is {manner.max_tokens}, and this model's whole context is {positions} tokens.")
    longest = positions if subject.config is None else subject.config.training.max_length
    renderer = Renderer(tokenizer, min(longest, positions - manner.max_tokens))
    return Voice(ModelSpeaker(adapted, tokenizer, renderer, bare=bare), renderer, manner)
