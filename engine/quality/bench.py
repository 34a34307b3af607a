"""What the parts of an evaluation share: one model in memory, the conversations, what was computed of them so far."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from configs.errors import DataError
from engine.data.example import Example
from engine.data.template import Renderer
from engine.model.adapters import Adapted
from engine.model.bare import without_adapters
from engine.quality.dialogues import Dialogues, speak
from engine.quality.heldout import HeldOut
from engine.quality.scoring import Scored, score
from engine.quality.speaker import Progress, Stop
from engine.quality.speaking import ModelSpeaker, Recorder
from engine.quality.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is needed to repeat an evaluation on the same model and data."""

    quick: bool = False
    """The short model validation: fewer cases of everything."""
    seed: int = 42
    limit: int | None = None
    """Conversations at most; None for all of them."""
    replies: int = 64
    """Replies that are generated for the text measures, one a conversation."""
    max_tokens: int = 128
    """Length at which a reply is cut off."""
    locale: str = "en-US"
    """Whose crisis services a reply may name."""
    show_text: bool = False


QUICK = Settings(quick=True, limit=24, replies=12, max_tokens=64)


class Bench:
    """A model, its conversations, and two speakers: as it was trained, and as the base it was made from."""

    def __init__(
        self,
        *,
        adapted: Adapted,
        tokenizer: Any,
        held: HeldOut,
        settings: Settings,
        stimuli: Path | None = None,
        subject: Subject,
        progress: Progress,
        stop: Stop,
        tuned_recorder: Recorder | None = None,
        base_recorder: Recorder | None = None,
    ) -> None:
        self.adapted = adapted
        self.held = held
        self.settings = settings
        self.stimuli = stimuli
        """A person's own cases for the safety and bias checks."""
        self.subject = subject
        self.progress = progress
        self.stop = stop
        positions = int(getattr(adapted.model.config, "max_position_embeddings", 2048))
        training = None if subject.config is None else subject.config.training
        longest = min(2048, positions) if training is None else training.max_length
        self.bin_tokens = max(longest, 2048 if training is None else training.bin_tokens)
        self._examples_renderer = Renderer(tokenizer, longest, held.domains)
        self.renderer = Renderer(tokenizer, max(1, min(longest, positions - settings.max_tokens)))
        self.tokenizer = tokenizer

        def speaker(*, bare: bool, recorder: Recorder | None) -> ModelSpeaker:
            return ModelSpeaker(
                adapted, tokenizer, self.renderer, bare=bare, bin_tokens=self.bin_tokens, stop=stop, recorder=recorder
            )

        self.tuned = speaker(bare=False, recorder=tuned_recorder)
        self.base = speaker(bare=True, recorder=base_recorder)

    @cached_property
    def examples(self) -> list[Example]:
        """The conversations as the trainer would see them. Raises `DataError` when none can be rendered."""
        rendered = self._examples_renderer.render_all(self.held.conversations)
        if not rendered:
            raise DataError(
                f"No conversation of {self.held.name} can be rendered with this model's chat template, so there is "
                "nothing to evaluate. Name other conversations with --test-data."
            )
        return rendered

    @cached_property
    def dialogues(self) -> Dialogues:
        """Generated replies beside the therapist's own."""
        return speak(self)

    @cached_property
    def scored(self) -> Scored:
        """The likelihood of every therapist turn for the trained model, and where its routers sent the tokens."""
        return self._score("likelihood, trained")

    @cached_property
    def base_scored(self) -> Scored:
        """The same for the base."""
        with without_adapters(self.adapted):
            return self._score("likelihood, base")

    def _score(self, task: str) -> Scored:
        total = len(self.examples)
        self.progress(task, 0, total)
        return score(
            self.adapted,
            self.examples,
            bin_tokens=self.bin_tokens,
            stop=self.stop,
            progressed=lambda done: self.progress(task, done, total),
        )


def file_digest(path: Path) -> str:
    """SHA-256 of a file; empty where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
