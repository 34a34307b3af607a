"""Rank-space gating is token dispatch, to rounding, in its output and in every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.model.adapters import Adapted, attach
from engine.model.experts import ExpertLinear, ExpertMlp
from engine.model.gates import Ablated, Forced, Uniform
from engine.model.spec import AdapterSpec, ExpertMode
from tests.model.conftest import tiny


def dispatch(x: torch.Tensor, linear: ExpertLinear, router: torch.Tensor, top_k: int) -> torch.Tensor:
    """Gather each expert's tokens, run its two products on them, scatter back: the textbook way."""
    p = functional.softmax(x @ router.t(), dim=-1)
    kept, chosen = p.topk(top_k, dim=-1)
    kept = kept / kept.sum(-1, keepdim=True)
    out = functional.linear(x, linear.base.weight, linear.base.bias)
    for expert in range(linear.num_experts):
        slot, token = torch.where((chosen == expert).t())
        a = linear.lora_A if linear.shared else linear.lora_A[expert]
        y = linear.scale * kept[token, slot, None] * (x[token] @ a.t() @ linear.lora_B[expert].t())
        out = out.index_add(0, token, y)
    return out


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_a_gated_linear_equals_token_dispatch_in_output_and_all_gradients(build, experts: str, top_k: int) -> None:
    adapted: Adapted = build(double=True, experts=experts, top_k=top_k)
    layer = adapted.layers[1]
    assert layer.ffn["up_proj"].lora_A.dim() == (2 if experts == "shared_a" else 3)
    assert layer.router is not None
    for linear in layer.ffn.values():
        assert isinstance(linear, ExpertLinear)
        hidden = linear.base.in_features
        torch.manual_seed(3)
        router = nn.Parameter(torch.randn(4, hidden, dtype=torch.float64))
        x = torch.randn(40, hidden, dtype=torch.float64, requires_grad=True)
        weights = [x, linear.lora_A, linear.lora_B, router]
        expected = dispatch(x, linear, router, top_k)
        gates = layer.router.choose(functional.softmax(x @ router.t(), dim=-1))
        got = linear(x, gates)
        assert (got - expected).abs().max() < 1e-13
        slope = torch.randn_like(got)
        for a, b in zip(
            torch.autograd.grad(got, weights, slope), torch.autograd.grad(expected, weights, slope), strict=True
        ):
            assert (a - b).abs().max() < 1e-12


def test_the_block_uses_one_gate_for_its_three_linears(build) -> None:
    adapted: Adapted = build(double=True)
    layer = adapted.layers[0]
    mlp = layer.block.mlp
    assert isinstance(mlp, ExpertMlp)
    x = torch.randn(2, 5, 32, dtype=torch.float64)
    rows = x.view(10, 32)
    router = mlp.router.weight

    def pick(linear: ExpertLinear, value: torch.Tensor) -> torch.Tensor:
        p = functional.softmax(rows @ router.t(), dim=-1)
        kept, chosen = p.topk(2, dim=-1)
        gates = torch.zeros_like(p).scatter(-1, chosen, kept / kept.sum(-1, keepdim=True))
        return linear(value, gates)

    inner = functional.silu(pick(mlp.gate_proj, rows)) * pick(mlp.up_proj, rows)
    assert torch.allclose(mlp(x), pick(mlp.down_proj, inner).view(2, 5, 32), atol=1e-13)


def test_adapters_at_their_start_leave_the_base_as_it_was(bases) -> None:
    from engine.model.load import load_base

    ids = torch.arange(1, 30)[None]
    for family, folder in bases.items():
        model = load_base(folder, dtype=torch.float32, device=torch.device("cpu"))
        before = model(ids, use_cache=False).logits
        for mode in ("moe", "lora"):
            fresh = load_base(folder, dtype=torch.float32, device=torch.device("cpu"))
            adapted = attach(fresh, AdapterSpec(mode=mode, rank=4))
            assert torch.equal(adapted.model(ids, use_cache=False).logits, before), family


def test_a_is_drawn_by_name_and_seed_and_b_is_zero() -> None:
    first, second, other = (attach(tiny("mistral"), AdapterSpec(seed=seed)).parameters() for seed in (42, 42, 1))
    for name, value in first.items():
        assert value.dtype is torch.float32
        assert torch.equal(value, second[name])
        if name.endswith("lora_A"):
            assert not torch.equal(value, other[name])
            assert value.abs().max() <= 1 / value.shape[-1] ** 0.5
            assert float(value.detach().std()) == pytest.approx((1 / 3 / value.shape[-1]) ** 0.5, rel=0.2)
        if name.endswith("lora_B"):
            assert not value.any()


def test_two_linears_of_equal_shape_start_differently(build) -> None:
    parameters = build(rank=4).parameters()
    assert not torch.equal(parameters["layers.0.mlp.gate_proj.lora_A"], parameters["layers.0.mlp.up_proj.lora_A"])


def test_gates_can_be_set_by_decree(build) -> None:
    adapted: Adapted = build()
    router = adapted.layers[0].router
    assert router is not None
    x = torch.randn(6, 32)
    own = router(x)
    assert torch.allclose(own.sum(-1), torch.ones(6))
    assert ((own > 0).sum(-1) == 2).all()
    with adapted.routing.overridden(Uniform()):
        assert torch.equal(router(x), torch.full((6, 4), 0.25))
    with adapted.routing.overridden(Forced(2)):
        assert torch.equal(router(x), torch.eye(4)[2].expand(6, 4))
    with adapted.routing.overridden(Ablated(1)):
        silenced = router(x)
    assert not silenced[:, 1].any()
    assert torch.equal(silenced[:, [0, 2, 3]], own[:, [0, 2, 3]])
    assert torch.equal(router(x), own)


def test_the_router_computes_in_float32_under_a_bfloat16_base(build) -> None:
    adapted: Adapted = build()
    router = adapted.layers[0].router
    assert router is not None
    x = torch.randn(6, 32).bfloat16()
    assert router(x).dtype is torch.float32
    mlp = adapted.layers[0].block.mlp
    for linear in adapted.layers[0].ffn.values():
        linear.base.bfloat16()
    assert mlp(x).dtype is torch.bfloat16


def test_plain_lora_mode_has_no_router_and_its_own_rank(build) -> None:
    adapted: Adapted = build(mode="lora", rank=6)
    names = set(adapted.parameters())
    assert not any("router" in name for name in names)
    assert len(names) == 2 * 7 * 2
    assert adapted.parameters()["layers.1.mlp.up_proj.lora_B"].shape == (48, 6)
    assert set(adapted.groups()) == {"lora_A", "lora_B"}
    assert adapted.routing.num_layers == 0
    assert adapted.routing.sample() is None


def test_every_parameter_is_in_exactly_one_group_and_nothing_else_trains(build) -> None:
    adapted: Adapted = build()
    grouped = [name for members in adapted.groups().values() for name in members]
    assert sorted(grouped) == sorted(adapted.parameters())
    ours = {id(p) for p in adapted.parameters().values()}
    assert {id(p) for p in adapted.model.parameters() if p.requires_grad} == ours


def test_a_spec_that_cannot_work_is_refused() -> None:
    for wrong in ({"rank": 0}, {"num_experts": 1}, {"top_k": 5}, {"top_k": 0}):
        with pytest.raises(ValueError, match=r"must|needs"):
            AdapterSpec(**wrong)
    with pytest.raises(ValueError, match="not a valid ExpertMode"):
        AdapterSpec(experts="both")
    assert AdapterSpec(experts="private").experts is ExpertMode.PRIVATE
