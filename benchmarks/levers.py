"""The levers of the fast path, each taken away from it in turn.

`Arm.full` is the fast path as it is. What is marked `tried` was not kept: it is put on instead of taken away.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.model import attention, backward, forward, layer, path, pointwise, product
from engine.model.lowrank import Group, Pulled
from engine.model.product import add_product, linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to compute the same pass."""

    name: str
    what: str
    put: Callable[[], None]
    tried: bool = False
    reference: bool = False


def _nothing() -> None:
    pass


def _heap() -> None:
    path.keep_freed_memory = lambda: False  # type: ignore[assignment]


def _wide() -> None:
    product._wide_registers = lambda: False  # type: ignore[assignment]


def _even() -> None:
    forward.evened = lambda packed, *_: packed  # type: ignore[attr-defined]
    path.evened_rows = lambda rows, *_: rows  # type: ignore[attr-defined]


def _blocks() -> None:
    attention.SHORTEST = 1 << 60  # type: ignore[attr-defined]


def _rows() -> None:
    """Every token goes through the last feed-forward block and the head; the loss is another, its cost the point."""

    def targets(packed: Any, device: torch.device) -> tuple[Tensor, Tensor]:
        labels = packed.labels.to(torch.int64)
        return torch.arange(labels.shape[0], device=device), labels.clamp(min=0).to(device)

    forward._targets = targets


def _merged() -> None:
    """q, k, v and gate, up multiplied one by one."""
    merged = layer.project

    def project(x: Tensor, weight: Tensor, bias: Tensor | None, group: Group, *rest: Any) -> tuple[Tensor, Tensor]:
        if len(group.ups) == 1:
            return merged(x, weight, bias, group, *rest)
        gates, point = rest
        outs, lows = [], []
        for part, down, up in zip(
            weight.split(group.widths()), group.down.chunk(len(group.ups)), group.ups, strict=True
        ):
            low = linear(x, down)
            spread = low if gates is None else point.spread(low, gates, group.rank)
            outs.append(add_product(linear(x, part), spread, up.t()))
            lows.append(low)
        return torch.cat(outs, dim=1), torch.cat(lows, dim=1)

    def to_input(slope: Tensor, weight: Tensor, pulled: Pulled, group: Group) -> Tensor:
        total: Tensor | None = None
        for own, part, low, down in zip(
            slope.split(group.widths(), dim=1),
            weight.split(group.widths()),
            group.split(pulled.low),
            group.down.chunk(len(group.ups)),
            strict=True,
        ):
            total = product.product(own, part) if total is None else add_product(total, own, part)
            total = add_product(total, low, down)
        assert total is not None
        return total

    layer.project, backward.to_input = project, to_input  # type: ignore[attr-defined]


def _small() -> None:
    product._SMALLEST_WORK = 1 << 20


def _compiled() -> None:
    os.environ[pointwise.SWITCH] = "1"


ARMS = (
    Arm(name="full", what="the fast path as it is", put=_nothing),
    Arm(name="control", what="the same once more", put=_nothing),
    Arm(
        name="reference",
        what="without hand-written layers: autograd through transformers",
        put=_nothing,
        reference=True,
    ),
    Arm(name="merged", what="without merged q/k/v and gate/up products and stacked A", put=_merged),
    Arm(name="rows", what="without the choice of target rows", put=_rows),
    Arm(name="wide", what="without oneDNN's products", put=_wide),
    Arm(name="even", what="without round lengths", put=_even),
    Arm(name="blocks", what="without attention in blocks", put=_blocks),
    Arm(name="heap", what="without keeping freed memory", put=_heap),
    Arm(name="small", what="with oneDNN for small products as well", put=_small, tried=True),
    Arm(name="compiled", what="with compiled pointwise functions", put=_compiled, tried=True),
)
