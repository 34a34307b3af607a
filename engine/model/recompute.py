"""Activation recompute, on either path: slower by a third, for bases that do not fit otherwise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from engine.model.adapters import Adapted
from engine.model.routing import Routing


def enable_recompute(adapted: Adapted) -> None:
    """Keep only each layer's input and compute the layer again in backward.

    The recomputation runs in the scope of the bin it belongs to, even when another bin's forward ran in between.
    """
    adapted.compute.recompute = True
    for layer in adapted.layers:
        layer.block.forward = partial(_recomputed, layer.block.forward, adapted.routing)


def _recomputed(forward: Callable[..., torch.Tensor], routing: Routing, *args: Any, **kwargs: Any) -> torch.Tensor:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    scope = routing.scope

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), routing.inside(scope)

    # There is no dropout: keeping the random state would only cost a device synchronisation per layer.
    result: torch.Tensor = checkpoint(
        forward, *args, use_reentrant=False, preserve_rng_state=False, context_fn=contexts, **kwargs
    )
    return result
