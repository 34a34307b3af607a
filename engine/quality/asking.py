"""Putting many questions to a model in few calls, with progress, and an end on request that keeps what was answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.data.conversation import Turn
from engine.quality.speaker import Interrupted, Progress, Reply, Score, Speaker, Stop

REPLIES_AT_ONCE = 24
SCORES_AT_ONCE = 128
MAX_TOKENS = 96
"""Of a reply: about seventy words. Someone in danger cannot wait for the third paragraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How an evaluation asks: the short form or the whole, its seed, who hears of progress, whether to stop."""

    quick: bool
    seed: int
    progress: Progress
    stop: Stop

    def replies(self, speaker: Speaker, contexts: Sequence[Sequence[Turn]], what: str) -> list[Reply]:
        """Greedy replies to `contexts`, or to their first part where a stop came between."""
        answered: list[Reply] = []
        self._begin(what, len(contexts))
        for start in range(0, len(contexts), REPLIES_AT_ONCE):
            if self.stop():
                break
            some = contexts[start : start + REPLIES_AT_ONCE]
            try:
                answered += speaker.replies(some, max_tokens=MAX_TOKENS, temperature=0.0, seed=self.seed)
            except Interrupted:
                break
            self.progress(what, len(answered), len(contexts))
        return answered

    def scores(
        self, speaker: Speaker, contexts: Sequence[Sequence[Turn]], replies: Sequence[str], what: str
    ) -> list[Score]:
        """The likelihood of each reply after its context, or of the first part where a stop came between."""
        scored: list[Score] = []
        self._begin(what, len(contexts))
        for start in range(0, len(contexts), SCORES_AT_ONCE):
            if self.stop():
                break
            end = start + SCORES_AT_ONCE
            try:
                scored += speaker.scores(contexts[start:end], replies[start:end])
            except Interrupted:
                break
            self.progress(what, len(scored), len(contexts))
        return scored

    def _begin(self, what: str, total: int) -> None:
        if total:
            self.progress(what, 0, total)


def per_token(score: Score) -> float | None:
    """Nats per token; None where the model gave no finite number."""
    value = score.nll / score.tokens if score.tokens > 0 else math.nan
    return value if math.isfinite(value) else None
