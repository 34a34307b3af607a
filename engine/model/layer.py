"""One decoder layer as one autograd node, written by hand: the reference path's parameters and mathematics.

Autograd would keep every intermediate. Here forward keeps, per token, the layer's input, q, k, v, the attention output,
the residual stream after it, gate and up, and rank-sized values: 96 KiB at the 12B shape in bfloat16. Norms and the
SwiGLU product are computed again, value by value. The base is frozen, so the way back (`backward.py`) has products for
inputs and adapters only, added up in place. Gradients are exact; tests hold them to the reference and to PEFT.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from engine.model.attention import attend
from engine.model.backward import back
from engine.model.heads import apart, turned
from engine.model.lowrank import project
from engine.model.parts import Flow, Kept, Layer
from engine.model.pointwise import Pointwise
from engine.model.routing import Due


def run(layer: Layer, flow: Flow, x: Tensor, rows: Tensor | None) -> tuple[Tensor, Kept]:
    """x: (tokens, hidden) to the layer's output; only of `rows` where given, as nothing else is wanted of the last."""
    frozen, copies, point = layer.frozen, layer.copies, flow.pointwise
    normed, x_scale = point.norm(x, frozen.norm, frozen.norm_eps)
    projected, low_qkv = project(normed, frozen.qkv, frozen.qkv_bias, copies.qkv, None, point)
    heads = turned(projected, flow.cos, flow.sin, frozen, point)
    mixed, attention = attend(*apart(heads, frozen), flow.segments, frozen.scale)
    change, low_out = project(mixed.flatten(1), frozen.out, frozen.out_bias, copies.out, None, point)
    residual, normed, residual_scale = point.add_norm(x, change, frozen.ffn_norm, frozen.ffn_norm_eps)

    p, gates = route(layer, normed, point)
    below, own = residual, gates
    if rows is not None:
        below, normed = residual.index_select(0, rows), normed.index_select(0, rows)
        own = None if gates is None else gates.index_select(0, rows)
    gate_up, low_gate_up = project(normed, frozen.gate_up, frozen.gate_up_bias, copies.gate_up, own, point)
    out, low_down = project(point.swiglu(gate_up), frozen.down, frozen.down_bias, copies.down, own, point)
    kept = Kept(
        x=x,
        x_scale=x_scale,
        qkv=heads if frozen.query_norm is None else projected,
        mixed=mixed,
        low_qkv=low_qkv,
        low_out=low_out,
        residual=residual,
        residual_scale=residual_scale,
        p=p,
        gates=gates,
        low_gate_up=low_gate_up,
        low_down=low_down,
        gate_up=gate_up,
        attention=tuple(attention),
    )
    return out.add_(below), kept


def route(layer: Layer, normed: Tensor, point: Pointwise) -> tuple[Tensor | None, Tensor | None]:
    """Probabilities and gates, (tokens, experts) each, of a layer that has a router."""
    router, weight = layer.router, layer.copies.router
    if router is None or weight is None:
        return None, None
    p = point.softmax(functional.linear(normed.to(weight.dtype), weight))
    override = router.routing.override
    return p, point.gate(p, router.routing.top_k) if override is None else override.gates(router, normed)


def observe(layer: Layer, flow: Flow, p: Tensor | None) -> Due | None:
    """Count where a layer's tokens went; in training, what its backward owes the router for that."""
    if layer.router is None or p is None or flow.membership is None:
        return None
    routing = layer.router.routing
    return routing.account(layer.index, flow.membership.row(p, routing.top_k), p)


def evaluate(layer: Layer, flow: Flow, x: Tensor, rows: Tensor | None) -> Tensor:
    """`run` without a way back."""
    out, kept = run(layer, flow, x, rows)
    observe(layer, flow, kept.p)
    return out


class LayerNode(torch.autograd.Function):
    """`run` and its backward. Tokens are counted once, also under recompute: forward counts, backward books."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor | None, layer: Layer, flow: Flow, *_parameters: Tensor) -> Tensor:
        """The parameters are named for autograd's sake; their copies in `layer` are what is multiplied by."""
        # Cut from autograd's graph, which compiled functions would look at and guard on.
        out, kept = run(layer, flow, x.detach(), rows)
        ctx.layer, ctx.flow, ctx.rows = layer, flow, rows
        ctx.due = observe(layer, flow, kept.p)
        if flow.recompute:
            ctx.save_for_backward(kept.x)
        else:
            ctx.save_for_backward(*kept.tensors())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and of the adapters."""
        layer, flow, rows, due = ctx.layer, ctx.flow, ctx.rows, ctx.due
        if flow.recompute:
            _, kept = run(layer, flow, ctx.saved_tensors[0], rows)
        else:
            kept = Kept.of(ctx.saved_tensors)
        if due is not None:
            due.book.add_(due.row)
        of_x, adapters = back(layer, flow, kept, slopes[0], rows, due, wanted=ctx.needs_input_grad[0])
        return of_x, None, None, None, *adapters
