"""Writes replies token by token with a cache of keys and values, many at once, and counts which experts wrote them.

Prompts of like length go together, padded on the left; who has ended leaves the batch. In float32 a reply is the same
token for token, alone or among others, with the cache or without it; in bfloat16 ties between tokens may fall
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from engine.model.adapters import Adapted
from engine.model.routing import BinScope
from engine.quality.sampling import Sampling
from engine.quality.speaker import Interrupted, Stop

BATCH_TOKENS: Final = 16384
"""Prompt and reply tokens that are held at once: 2.7 GB of keys and values at the 12B shape."""

Heard = Callable[[int, int], None]
"""Hears (which prompt, token) as soon as a token is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One reply in tokens."""

    ids: tuple[int, ...]
    """Without the token that ended it."""
    ended: bool
    counts: tuple[int, ...]
    """By expert: assignments of the tokens it was written from, over all layers; empty without routers."""


@dataclass(slots=True, kw_only=True)
class _Writing:
    """A reply that is being written."""

    number: int
    ids: list[int] = field(default_factory=list)
    ended: bool = False


def decode(
    adapted: Adapted,
    prompts: Sequence[Sequence[int]],
    *,
    ends: Collection[int],
    max_tokens: int,
    sampling: Sampling,
    seed: int = 0,
    first: int = 0,
    stop: Stop = lambda: False,
    heard: Heard = lambda prompt, token: None,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Decoded]:
    """A reply of at most `max_tokens` to each prompt, in the order of the prompts; `first` numbers the first of them.

    Raises `Interrupted` at the first token after `stop` says so; what was heard until then was said.
    """
    generators = sampling.generators(range(first, first + len(prompts)), seed)
    found: dict[int, Decoded] = {}
    for group in _groups(prompts, max_tokens, batch_tokens):
        batch = _Batch(adapted, [prompts[number] for number in group])
        writings = [_Writing(number=number) for number in group]
        _write(batch, writings, ends, max_tokens, sampling, generators, stop, heard)
        for writing, counts in zip(writings, batch.counts(), strict=True):
            found[writing.number] = Decoded(ids=tuple(writing.ids), ended=writing.ended, counts=counts)
    return [found[number] for number in range(len(prompts))]


def _groups(prompts: Sequence[Sequence[int]], max_tokens: int, batch_tokens: int) -> Iterator[list[int]]:
    """Prompts of like length together, each group within `batch_tokens` when padded and answered."""
    group: list[int] = []
    for number in sorted(range(len(prompts)), key=lambda each: (len(prompts[each]), each)):
        if group and (len(group) + 1) * (len(prompts[number]) + max_tokens) > batch_tokens:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


@torch.no_grad()
def _write(
    batch: _Batch,
    writings: Sequence[_Writing],
    ends: Collection[int],
    max_tokens: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    stop: Stop,
    heard: Heard,
) -> None:
    logits = batch.read()
    alive = list(range(len(writings)))
    while True:
        if stop():
            raise Interrupted
        drawn = [] if sampling.greedy else [generators[writings[row].number] for row in alive]
        chosen = sampling.choose(logits, drawn)
        going: list[int] = []
        for place, (row, token) in enumerate(zip(alive, chosen, strict=True)):
            writing = writings[row]
            if token in ends:
                writing.ended = True
                continue
            writing.ids.append(token)
            heard(writing.number, token)
            if len(writing.ids) < max_tokens:
                going.append(place)
        if not going:
            return
        logits = batch.go_on(going, [chosen[place] for place in going])
        alive = [alive[place] for place in going]


class _Batch:
    """Prompts in the model's memory."""

    def __init__(self, adapted: Adapted, prompts: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache

        self._adapted = adapted
        model: Any = adapted.model
        self._model = model
        self._cache = DynamicCache(config=model.config)
        device, rows, width = adapted.device, len(prompts), max(len(prompt) for prompt in prompts)
        ids = torch.zeros(rows, width, dtype=torch.int64)
        mask = torch.zeros(rows, width, dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
            mask[row, width - len(prompt) :] = 1
        self._ids, self._mask = ids.to(device), mask.to(device)
        self._rows = torch.arange(rows, device=device)
        routing = adapted.routing
        # One row more takes what belongs to no reply: padding, and the prompt's own tokens.
        self._book = torch.zeros(routing.num_layers, rows + 1, routing.num_experts, dtype=torch.int64, device=device)

    def read(self) -> Tensor:
        """The prompts; returns the logits (rows, vocabulary) of what follows them."""
        rows, width = self._ids.shape
        owners = torch.full((rows, width), rows, dtype=torch.int64, device=self._ids.device)
        owners[:, -1] = self._rows
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        return self._forward(self._ids, positions, owners.view(-1))

    def go_on(self, places: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """One token more for the rows at `places`; the others leave."""
        device = self._ids.device
        if len(places) < self._rows.shape[0]:
            kept = torch.tensor(list(places), device=device)
            self._cache.batch_select_indices(kept)
            self._mask, self._rows = self._mask[kept], self._rows[kept]
        self._mask = torch.cat((self._mask, self._mask.new_ones(len(places), 1)), dim=1)
        positions = self._mask.sum(-1, keepdim=True) - 1
        return self._forward(torch.tensor(list(tokens), device=device)[:, None], positions, self._rows)

    def counts(self) -> list[tuple[int, ...]]:
        """By reply: assignments by expert, over all layers."""
        if not self._adapted.routing.num_layers:
            return [()] * (self._book.shape[1] - 1)
        return [tuple(row) for row in self._book.sum(0)[:-1].tolist()]

    def _forward(self, ids: Tensor, positions: Tensor, owners: Tensor) -> Tensor:
        routing = self._adapted.routing
        scope = BinScope(
            domains=torch.full_like(owners, -1), valid=None, training=False, owners=owners, assignments=self._book
        )
        with routing.inside(scope if routing.num_layers else None):
            output = self._model(
                input_ids=ids,
                attention_mask=self._mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        # What was counted here is no evaluation of a data set.
        routing.sample_evaluation()
        logits: Tensor = output.logits[:, -1]
        return logits
