"""The way back through one decoder layer, from the gradient of its output to those of its input and its adapters."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.model.attention import attend_backward
from engine.model.heads import apart, turned, turned_back
from engine.model.lowrank import Slopes, pull, settle, to_input
from engine.model.parts import Flow, Kept, Layer
from engine.model.routing import Due


def back(
    layer: Layer, flow: Flow, kept: Kept, slope: Tensor, rows: Tensor | None, due: Due | None, *, wanted: bool
) -> tuple[Tensor | None, list[Tensor]]:
    """Gradient of the layer's input, where that is `wanted`, and those of its parameters in their order."""
    of_residual, gate_up, down, router = _ffn(layer, flow, kept, slope, rows, due)
    of_x, qkv, out = _attention(layer, flow, kept, of_residual, wanted=wanted)
    return of_x, layer.adapters.gradients((qkv, out, gate_up, down), router)


def _ffn(
    layer: Layer, flow: Flow, kept: Kept, slope: Tensor, rows: Tensor | None, due: Due | None
) -> tuple[Tensor, Slopes, Slopes, Tensor | None]:
    """To the residual stream after attention: its gradient, those of gate/up and down, that of the router."""
    frozen, copies, point = layer.frozen, layer.copies, flow.pointwise
    gates = kept.gates if kept.gates is None or rows is None else kept.gates.index_select(0, rows)
    normed = point.norm_again(kept.residual, kept.residual_scale, frozen.ffn_norm)

    pulled = pull(slope, copies.down, kept.low_down, gates, point)
    of_inner = to_input(slope, frozen.down, pulled, copies.down)
    inner, of_gate_up = point.swiglu_backward(of_inner, kept.gate_up)
    down, of_gates = settle(pulled, inner), pulled.gates
    pulled = pull(of_gate_up, copies.gate_up, kept.low_gate_up, gates, point)
    of_normed = to_input(of_gate_up, frozen.gate_up, pulled, copies.gate_up)
    gate_up = settle(pulled, normed if rows is None else normed.index_select(0, rows))

    if rows is not None:
        of_normed = torch.zeros_like(normed).index_copy_(0, rows, of_normed)
    router: Tensor | None = None
    if of_gates is not None and pulled.gates is not None:
        of_gates = of_gates + pulled.gates
        if rows is not None and kept.gates is not None:
            of_gates = torch.zeros_like(kept.gates).index_copy_(0, rows, of_gates)
        router = _router(layer, flow, kept, of_gates, normed, of_normed, due)
    # The residual way around the block, which only the wanted rows went.
    straight = slope if rows is None else None
    of_residual = point.norm_backward(of_normed, kept.residual, kept.residual_scale, frozen.ffn_norm, straight)
    if rows is not None:
        of_residual.index_add_(0, rows, slope)
    return of_residual, gate_up, down, router


def _router(
    layer: Layer, flow: Flow, kept: Kept, of_gates: Tensor, normed: Tensor, of_normed: Tensor, due: Due | None
) -> Tensor:
    """Gradient of the router's weight; what reaches its input is added to `of_normed`."""
    weight = layer.copies.router
    assert weight is not None
    assert kept.p is not None
    assert kept.gates is not None
    extra, valid = (None, None) if due is None else (due.pull, due.valid)
    of_logits = flow.pointwise.gate_backward(of_gates, kept.p, kept.gates, extra, valid)
    of_normed.add_((of_logits @ weight).to(of_normed.dtype))
    return of_logits.t() @ normed.to(weight.dtype)


def _attention(
    layer: Layer, flow: Flow, kept: Kept, slope: Tensor, *, wanted: bool
) -> tuple[Tensor | None, Slopes, Slopes]:
    """To the layer's input: its gradient where it is `wanted`, those of q/k/v and of the output projection."""
    frozen, copies, point = layer.frozen, layer.copies, flow.pointwise
    pulled = pull(slope, copies.out, kept.low_out, None, point)
    out = settle(pulled, kept.mixed.flatten(1))
    of_mixed = to_input(slope, frozen.out, pulled, copies.out).view(kept.mixed.shape)
    heads = kept.qkv if frozen.query_norm is None else turned(kept.qkv, flow.cos, flow.sin, frozen, point)
    slopes = attend_backward(
        of_mixed, *apart(heads, frozen), kept.mixed, list(kept.attention), flow.segments, frozen.scale
    )
    of_qkv = turned_back(slopes, kept.qkv, flow.cos, flow.sin, frozen, point)
    pulled = pull(of_qkv, copies.qkv, kept.low_qkv, None, point)
    qkv = settle(pulled, point.norm_again(kept.x, kept.x_scale, frozen.norm))
    if not wanted:
        return None, qkv, out
    of_normed = to_input(of_qkv, frozen.qkv, pulled, copies.qkv)
    return point.norm_backward(of_normed, kept.x, kept.x_scale, frozen.norm, slope), qkv, out
