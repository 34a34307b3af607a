"""Optimizer steps as lists of conversations, and bins as the tensors a forward pass takes.

A step is a pure function of (seed, step number). Bins carry no padding; what separates conversations inside a bin is
`starts`, restarting positions, and the absence of a target on each last token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.example import NO_TARGET, Example
from engine.data.packing import pack
from engine.data.sampler import order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bin:
    """Conversations laid end to end; T tokens, C conversations."""

    input_ids: Tensor
    """(T,) int64."""
    position_ids: Tensor
    """(T,) int64, from 0 in every conversation."""
    labels: Tensor
    """(T,) int64, shifted: `labels[i]` is what position i has to predict, -100 for nothing."""
    starts: Tensor
    """(C + 1,) int32: where each conversation begins, and T."""
    domains: Tensor
    """(T,) int16: the domain of each token's conversation."""
    targets: int
    """Positions that carry loss."""
    examples: tuple[int, ...]
    """Which of the given examples these are, in the order they are laid."""

    @property
    def tokens(self) -> int:
        """Length of the bin."""
        return int(self.input_ids.shape[0])


def make_bins(examples: Sequence[Example], bin_tokens: int) -> list[Bin]:
    """Pack examples into few bins of balanced size; raises `ValueError` for an example above `bin_tokens`.

    All bins are laid at once and cut afterwards, so they are views of the same few arrays.
    """
    packed = pack([example.tokens for example in examples], bin_tokens)
    if not packed:
        return []
    laid = [examples[index] for indices in packed for index in indices]
    lengths = [example.tokens for example in laid]
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    counts = np.cumsum([0, *map(len, packed)])
    cuts = starts[counts]
    labels = np.empty(cuts[-1] + 1, dtype=np.int64)
    np.concatenate([example.labels for example in laid], out=labels[:-1])
    # A conversation's first label stands where its neighbour's last token would have to predict it.
    labels[starts] = NO_TARGET
    labels = labels[1:]
    columns = (
        np.concatenate([example.ids for example in laid], dtype=np.int64),
        np.arange(cuts[-1], dtype=np.int64) - np.repeat(starts[:-1], lengths),
        labels,
        np.repeat(np.array([example.domain_index for example in laid], dtype=np.int16), lengths),
    )
    targets = np.add.reduceat(labels != NO_TARGET, cuts[:-1], dtype=np.int64).tolist()
    parts = zip(*(torch.from_numpy(column).split(np.diff(cuts).tolist()) for column in columns), strict=True)
    return [
        Bin(
            input_ids=ids,
            position_ids=positions,
            labels=own,
            starts=torch.from_numpy((starts[first : last + 1] - starts[first]).astype(np.int32)),
            domains=domains,
            targets=wanted,
            examples=tuple(indices),
        )
        for indices, first, last, wanted, (ids, positions, own, domains) in zip(
            packed, counts[:-1], counts[1:], targets, parts, strict=True
        )
    ]


class Steps:
    """The examples of every optimizer step, counted from 0: `at(step)` follows `step` completed steps.

    A step never crosses an epoch, so the last of an epoch may be smaller; in every step each domain has its share.
    """

    def __init__(self, examples: Sequence[Example], conversations_per_step: int, seed: int) -> None:
        if not examples or conversations_per_step < 1:
            raise ValueError(f"{len(examples)} examples in steps of {conversations_per_step}")
        self._examples = examples
        self._size = conversations_per_step
        self._seed = seed
        self._domains = [example.domain_index for example in examples]
        self._cached: tuple[int, list[int]] | None = None

    @property
    def per_epoch(self) -> int:
        """Optimizer steps in one epoch."""
        return -(-len(self._examples) // self._size)

    def indices(self, step: int) -> list[int]:
        """Which examples make up a step."""
        if step < 0:
            raise ValueError(f"step {step} is negative")
        epoch, within = divmod(step, self.per_epoch)
        return self._order(epoch)[within * self._size : (within + 1) * self._size]

    def at(self, step: int) -> list[Example]:
        """The examples of a step."""
        return [self._examples[index] for index in self.indices(step)]

    def epoch(self, step: int) -> float:
        """Epochs done after `step` completed steps, by conversations."""
        whole, within = divmod(step, self.per_epoch)
        return whole + min(within * self._size, len(self._examples)) / len(self._examples)

    def _order(self, epoch: int) -> list[int]:
        cached = self._cached  # two threads may ask, one of them for the next epoch
        if cached is None or cached[0] != epoch:
            self._cached = cached = epoch, order(self._seed, epoch, len(self._examples), self._domains)
        return cached[1]
