"""The base model as it was before training, out of the same memory: adapters that add nothing while a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.model.adapters import Adapted


@contextmanager
def without_adapters(adapted: Adapted) -> Iterator[None]:
    """Inside the block every low-rank product has the factor 0, on the fast path as in transformers' layers.

    The base's own product is then added to exact zeros, so losses and replies are the base's bit for bit. Routers still
    choose, which changes nothing.
    """
    linears = [linear for layer in adapted.layers for linear in layer.linears.values()]
    scales = [linear.scale for linear in linears]
    for linear in linears:
        linear.scale = 0.0
    try:
        yield
    finally:
        for linear, scale in zip(linears, scales, strict=True):
            linear.scale = scale
