"""The fast path of a whole model: its layers as hand-written nodes, where the base has the shape they were written for.

Training and evaluation go through here; generation, prototypes and any other base go through transformers' own layers,
over the same parameters. What is not supported is said once, in the run's messages.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from engine.model.adapters import Adapted
from engine.model.attention import Segments
from engine.model.copies import Adapters
from engine.model.evened import evened_rows
from engine.model.frozen import Frozen, freeze, still_merged
from engine.model.heap import keep_freed_memory
from engine.model.layer import LayerNode, evaluate
from engine.model.parts import Flow, Layer
from engine.model.pointwise import Pointwise, pointwise_for
from engine.model.typed import apply

log = logging.getLogger("stint.model")

SHAPES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Families whose layers are exactly the ones written out here."""


def unsupported(adapted: Adapted) -> str | None:
    """Why the layers of this base cannot be computed by the nodes; None where they can."""
    model = adapted.model
    name = type(model).__name__
    if name not in SHAPES:
        return f"its architecture is {name}"
    if model.config.hidden_act != "silu":
        return f"its activation is {model.config.hidden_act}"
    return None


class FastPath:
    """The prepared layers of one model."""

    def __init__(self, adapted: Adapted) -> None:
        self._adapted = adapted
        self._adapters = [Adapters(layer) for layer in adapted.layers]
        self._frozen: list[Frozen] = []
        self._window = _narrowest_window(adapted)

    def takes(self, segments: Segments) -> bool:
        """Whether no conversation of the bin is longer than the base's sliding window, if it has one."""
        return self._window is None or segments.longest <= self._window

    def hidden(self, ids: Tensor, positions: Tensor, segments: Segments, rows: Tensor) -> Tensor:
        """Final hidden states of the chosen rows, (rows, hidden); ids, positions: (tokens,); all on the device."""
        adapted = self._adapted
        embedded = functional.embedding(ids, adapted.embeddings.weight)
        cos, sin = adapted.model.model.rotary_emb(embedded[None], position_ids=positions[None])
        scope, point = adapted.routing.scope, pointwise_for(embedded.device)
        counted = scope is not None and adapted.routing.num_layers and adapted.routing.override is None
        flow = Flow(
            segments=segments,
            cos=cos[0],
            sin=sin[0],
            membership=adapted.routing.layout.membership(scope.domains, scope.valid) if counted and scope else None,
            pointwise=point,
            recompute=adapted.compute.recompute,
        )
        x, layers = embedded, self._layers(embedded.dtype)
        last = evened_rows(rows, embedded.shape[0], embedded.dtype)
        for layer in layers:
            wanted = last if layer is layers[-1] else None
            if torch.is_grad_enabled():
                x = apply(LayerNode, x, wanted, layer, flow, *layer.adapters.parameters())
            else:
                x = evaluate(layer, flow, x, wanted)
        final = adapted.model.model.norm
        normed = apply(NormNode, x, final.weight.detach(), final.variance_epsilon, point)
        return normed if normed.shape[0] == rows.shape[0] else normed[: rows.shape[0]]

    def _layers(self, dtype: torch.dtype) -> list[Layer]:
        layers = self._adapted.layers
        if not self._frozen or not all(map(still_merged, self._frozen, layers)):
            self._frozen = [freeze(layer) for layer in layers]
        parts = zip(layers, self._frozen, self._adapters, strict=True)
        return [
            Layer(index=a.index, frozen=f, adapters=own, copies=own.copies(dtype), router=a.router)
            for a, f, own in parts
        ]


class NormNode(torch.autograd.Function):
    """The base's last norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, point: Pointwise) -> Tensor:
        """x: (rows, hidden); keeps it and one value a row."""
        x = x.detach()
        out, scale = point.norm(x, weight, eps)
        ctx.save_for_backward(x, scale, weight)
        ctx.point = point
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient of x."""
        x, scale, weight = ctx.saved_tensors
        return ctx.point.norm_backward(slopes[0], x, scale, weight, None), None, None, None


def fast_path(adapted: Adapted) -> FastPath | None:
    """The model's fast path, made at the first call; None where the reference has to do."""
    compute = adapted.compute
    if not compute.prepared:
        compute.prepared = True
        reason = unsupported(adapted)
        if reason is None:
            compute.fast = FastPath(adapted)
            if adapted.device.type == "cpu":
                keep_freed_memory()
        else:
            log.warning("The base model trains on the slower reference path: %s.", reason)
    overridden = adapted.routing.override is not None and torch.is_grad_enabled()
    return None if compute.reference or overridden else compute.fast


def _narrowest_window(adapted: Adapted) -> int | None:
    config = adapted.model.config
    found = [getattr(layer.block.get_submodule("self_attn"), "sliding_window", None) for layer in adapted.layers]
    if type(adapted.model).__name__ == "MistralForCausalLM":
        found.append(config.sliding_window)
    return min((int(window) for window in found if window is not None), default=None)
