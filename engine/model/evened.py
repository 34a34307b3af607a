"""Bins brought to round lengths, where the products of the fast path are made for one length at a time.

oneDNN writes code for each shape it meets, 0.4 to 0.7 ms a time and thirty times a layer's length; a bin of a length
not seen before cost 40% more than one of a known length. Padding by 2% on average leaves a few dozen lengths. Padded
tokens follow the last conversation: they are neither attended to, nor routed for, nor counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from engine.model.product import shapes_are_costly

_FROM_TOKENS = 256
_COARSEST = 128


class PackedBin(Protocol):
    """What the model needs of a bin: conversations one after another, nothing between them.

    Tokens after the last start, if any, are padding: they carry no target, are not routed for and not counted.
    """

    @property
    def input_ids(self) -> Tensor:
        """(tokens,) int64."""

    @property
    def position_ids(self) -> Tensor:
        """(tokens,) int64, restarting at 0 with each conversation."""

    @property
    def labels(self) -> Tensor:
        """(tokens,) int64: the token that follows, or -100 where it carries no loss."""

    @property
    def starts(self) -> Tensor:
        """(conversations + 1,) int32: first token of each conversation, then the end of the last."""

    @property
    def domains(self) -> Tensor:
        """(tokens,) int16, -1 where the conversation has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvenedBin:
    """A bin with padding at its end."""

    input_ids: Tensor
    position_ids: Tensor
    labels: Tensor
    starts: Tensor
    domains: Tensor


def step(tokens: int) -> int:
    """Lengths are rounded up to a multiple of this: a power of two, between a 32nd and a 16th of the length."""
    return 1 if tokens < _FROM_TOKENS else min(_COARSEST, 1 << (tokens.bit_length() - 5))


def evened(packed: PackedBin, device: torch.device, dtype: torch.dtype) -> PackedBin:
    """The bin itself, or with padding to the next round length where the products of `dtype` on `device` want that."""
    tokens = packed.input_ids.shape[0]
    more = -tokens % step(tokens)
    if not more or not shapes_are_costly(device, dtype):
        return packed
    return EvenedBin(
        input_ids=functional.pad(packed.input_ids, (0, more)),
        position_ids=functional.pad(packed.position_ids, (0, more)),
        labels=functional.pad(packed.labels, (0, more), value=-100),
        starts=packed.starts,
        domains=functional.pad(packed.domains, (0, more), value=-1),
    )


def evened_rows(rows: Tensor, tokens: int, dtype: torch.dtype) -> Tensor:
    """(rows,) indices into `tokens` tokens, followed by others up to a round number, each at most once."""
    more = min(-rows.shape[0] % step(rows.shape[0]), tokens - rows.shape[0])
    if not more or not shapes_are_costly(rows.device, dtype):
        return rows
    spare = torch.ones(tokens, dtype=torch.bool)
    spare[rows] = False
    return torch.cat((rows, spare.nonzero().squeeze(1)[:more]))
