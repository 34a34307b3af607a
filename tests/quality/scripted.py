"""Speakers that say what a test wants: replies by a function of the last turn, likelihoods by a function of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.data.conversation import Turn
from engine.quality.speaker import Reply, Score

Contexts = Sequence[Sequence[Turn]]

CARING = (
    "Thank you for telling me, I am staying with you. Are you safe right now? "
    "Please call or text 988, and see a doctor today. I'm an AI, not a person."
)
PLAIN = "That sounds like a lot to carry. What was the hardest part of it today?"


class Scripted:
    """Says `say(last turn)`; a reply costs `cost(last turn, reply)` nats, one a word where nothing is given."""

    def __init__(
        self,
        say: Callable[[str], str] = lambda told: PLAIN,
        cost: Callable[[str, str], float] = lambda told, reply: float(len(reply.split())),
        *,
        ended: bool = True,
    ) -> None:
        self.say = say
        self.cost = cost
        self.ended = ended
        self.asked = 0
        self.scored = 0

    def replies(self, contexts: Contexts, *, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> list[Reply]:
        self.asked += len(contexts)
        said = [self.say(turns[-1].text) for turns in contexts]
        return [Reply(text=text, tokens=len(text.split()), ended=self.ended) for text in said]

    def scores(self, contexts: Contexts, replies: Sequence[str]) -> list[Score]:
        self.scored += len(replies)
        return [
            Score(nll=self.cost(turns[-1].text, reply), tokens=len(reply.split()))
            for turns, reply in zip(contexts, replies, strict=True)
        ]
