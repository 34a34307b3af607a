"""Which token comes next: the likeliest, or one drawn from the likeliest at a temperature."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from configs.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a token is chosen; at temperature 0 nothing is drawn and the rest has no effect."""

    temperature: float = 0.0
    top_p: float = 1.0
    """Draw from the fewest tokens that together have this probability (nucleus sampling, arXiv 1904.09751)."""
    top_k: int = 0
    """Draw from this many at most; 0 for no such limit."""

    @property
    def greedy(self) -> bool:
        """Whether chance has no part."""
        return self.temperature == 0.0

    def generators(self, numbers: Iterable[int], seed: int) -> list[torch.Generator]:
        """One for each reply by its number, so that what one draws does not depend on the others."""
        return [] if self.greedy else [_generator(seed, number) for number in numbers]

    def choose(self, logits: Tensor, generators: Sequence[torch.Generator]) -> list[int]:
        """logits: (rows, vocabulary); one token for each row. Raises ConfigError where they are not finite."""
        if not bool(logits.isfinite().all()):
            raise ConfigError("The model's output is not finite: its weights are damaged, or its precision too low.")
        if self.greedy:
            return [int(token) for token in logits.argmax(-1).tolist()]
        # Of the largest, so that no temperature makes it infinite.
        rows = logits.to("cpu", torch.float32)
        rows = ((rows - rows.amax(-1, keepdim=True)).double() / self.temperature).float()
        return [self._draw(row, generator) for row, generator in zip(rows, generators, strict=True)]

    def _draw(self, row: Tensor, generator: torch.Generator) -> int:
        count = min(self.top_k, row.shape[0]) if self.top_k else row.shape[0]
        probabilities, tokens = row.softmax(-1).topk(count)
        # The first token that reaches top_p still counts, so there is always one to draw.
        kept = probabilities.cumsum(-1) - probabilities < self.top_p
        kept[0] = True
        place = torch.multinomial(probabilities * kept, 1, generator=generator)
        return int(tokens[place])


def _generator(seed: int, number: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
