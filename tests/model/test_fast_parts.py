"""The pieces of the fast path where the whole model's parity does not reach them: sizes and layouts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

import engine.model.attention as attention
from engine.model import path, pointwise
from engine.model.adapters import Adapted, attach
from engine.model.attention import Kernel, Segments, attend, attend_backward
from engine.model.evened import evened, evened_rows, step
from engine.model.forward import evaluate_bin, packed_hidden
from engine.model.pointwise import EAGER, chosen, compiled
from engine.model.product import add_product, linear, outer_sum, product
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from tests.model.conftest import conversations, pack, tiny
from tests.model.wide import long_bin, passed, wide_model


@pytest.mark.parametrize("choices", [{}, {"mode": "lora"}], ids=str)
def test_long_conversations_and_wide_products_equal_the_reference(choices: dict) -> None:
    adapted = wide_model(**choices)
    packed = long_bin((150, 40, 201))
    with adapted.compute.on_reference():
        loss, wanted = passed(adapted, packed)
    fast_loss, found = passed(adapted, packed)
    assert fast_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in wanted.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm(), name
    again_loss, again = passed(adapted, packed)
    assert again_loss == fast_loss
    assert all(torch.equal(again[name], found[name]) for name in found)


def test_evaluation_of_an_evened_bin_counts_only_its_conversations() -> None:
    adapted = wide_model()
    packed = long_bin((150, 40, 201))
    samples = []
    for way in (adapted.compute.on_reference(), nullcontext()):
        with way:
            scores = evaluate_bin(adapted, packed)
        samples.append((scores, adapted.routing.sample_evaluation()))
    (scores, sample), (fast_scores, fast_sample) = samples
    assert torch.allclose(fast_scores.nll, scores.nll, rtol=1e-5)
    assert torch.equal(fast_scores.targets, scores.targets)
    assert torch.equal(fast_scores.assignments, scores.assignments)
    assert fast_sample.layer_domains == sample.layer_domains
    assert fast_sample.tokens == 391


@given(st.integers(1, 40_000))
def test_round_lengths_cost_little_and_are_few(tokens: int) -> None:
    rounded = tokens + -tokens % step(tokens)
    assert 0 <= rounded - tokens <= tokens / 16
    assert rounded % step(tokens) == 0
    assert len({n + -n % step(n) for n in range(512, 1024)}) <= 17


def test_an_evened_bin_is_the_bin_with_padding_after_it() -> None:
    packed = long_bin((150, 203))
    even = evened(packed, torch.device("cpu"), torch.float32)
    if even is packed:
        pytest.skip("this processor's products do not ask for round lengths")
    assert even.input_ids.shape[0] == 368
    for field in ("input_ids", "position_ids", "labels", "domains"):
        assert torch.equal(getattr(even, field)[:353], getattr(packed, field))
    assert torch.equal(even.starts, packed.starts)
    assert (even.labels[353:] == -100).all()
    assert (even.domains[353:] == -1).all()
    assert evened(packed, torch.device("cpu"), torch.float64) is packed
    rows = torch.arange(0, 353)[torch.arange(353) % 4 > 0]
    more = evened_rows(rows, 368, torch.float32)
    assert more.shape[0] % step(rows.shape[0]) == 0
    assert torch.equal(more[: rows.shape[0]], rows)
    assert more.unique().shape == more.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_products_equal_torchs_own_for_every_layout(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    close = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]

    def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
        assert found.dtype is dtype
        assert (found.double() - wanted).norm() <= close * wanted.norm()

    for rows, inner, out in ((400, 256, 320), (9, 5, 3)):
        both = torch.randn(rows, 2 * inner).to(dtype)
        for x in (both[:, :inner].contiguous(), both[:, inner:]):
            weight, bias = torch.randn(out, inner).to(dtype), torch.randn(out).to(dtype)
            total = torch.randn(rows, out).to(dtype)
            exact = x.double() @ weight.double().t()
            same(linear(x, weight), exact)
            same(linear(x, weight, bias), exact + bias.double())
            same(product(x, weight.t()), exact)
            same(product(x, weight.t().contiguous()), exact)
            same(product(x, torch.cat((weight, weight)).t()[:, :out]), exact)
            wanted = total.double() + exact
            same(add_product(total.clone(), x, weight.t()), wanted)
            narrow = torch.randn(rows, 64).to(dtype)
            same(outer_sum(narrow, x), narrow.double().t() @ x.double())
            same(outer_sum(torch.cat((narrow, narrow), 1)[:, 64:], x), narrow.double().t() @ x.double())


@pytest.mark.parametrize("kernel", [Kernel.CPU, Kernel.PLAIN])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (4, 1)])
def test_attention_is_that_of_each_conversation_alone(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, heads: int, key_heads: int
) -> None:
    monkeypatch.setattr(attention, "kernel_for", lambda _query: kernel)
    torch.manual_seed(0)
    lengths, width, scale = (1, 150, 70, 193), 8, 0.3
    merged = torch.randn(sum(lengths), heads + 2 * key_heads, width, dtype=torch.float64)
    query, key, value = merged.split((heads, key_heads, key_heads), dim=1)
    starts = torch.tensor([0, 1, 151, 221], dtype=torch.int32)
    segments = Segments.of(starts, sum(lengths), torch.device("cpu"))  # the last conversation counts as padding would
    assert segments.bounds == (0, 1, 151, 221, 414)
    assert segments.longest == 193
    out, kept = attend(query, key, value, segments, scale)
    slope = torch.randn_like(out)
    found = attend_backward(slope, query, key, value, out, kept, segments, scale)

    leaf = merged.clone().requires_grad_()
    share = heads // key_heads
    for start, stop in pairwise(segments.bounds):
        q, k, v = (each.transpose(0, 1) for each in leaf[start:stop].split((heads, key_heads, key_heads), dim=1))
        scores = q @ k.repeat_interleave(share, 0).transpose(1, 2) * scale
        later = torch.ones(stop - start, stop - start, dtype=torch.bool).triu(1)
        alone = scores.masked_fill(later, -torch.inf).softmax(-1) @ v.repeat_interleave(share, 0)
        assert (out[start:stop] - alone.transpose(0, 1)).abs().max() < 1e-12
        (alone.transpose(0, 1) * slope[start:stop]).sum().backward()
    assert (torch.cat(found, dim=1) - leaf.grad).abs().max() < 1e-11


def test_exactly_top_k_experts_are_chosen_also_among_equals() -> None:
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.4, 0.1], [0.7, 0.1, 0.1, 0.1]])
    for top_k in (1, 2, 3, 4):
        assert chosen(p, top_k).sum(-1).tolist() == [top_k] * 3
    assert chosen(p, 2).tolist() == [[True, True, False, False], [False, True, True, False], [True, True, False, False]]
    torch.manual_seed(0)
    p = torch.rand(200, 8)
    wanted = torch.zeros_like(p, dtype=torch.bool).scatter(1, p.topk(3, dim=-1).indices, value=True)
    assert torch.equal(chosen(p, 3), wanted)


def test_bins_of_any_length_run_through_what_was_compiled_once(build, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[int] = []

    def counting(graph: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> object:
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(path, "pointwise_for", lambda _device: compiled(counting))
    adapted: Adapted = build()
    eager: Adapted = build()
    first = pack(conversations(3, seed=1))
    for one in (first, pack(conversations(5, seed=2))):
        passed(adapted, one)
    made = len(graphs)
    assert made >= 12
    for seed, count in ((3, 2), (4, 7), (5, 4), (6, 6)):
        loss, found = passed(adapted, pack(conversations(count, seed=seed)))
        assert len(graphs) == made
    monkeypatch.setattr(path, "pointwise_for", lambda _device: EAGER)
    wanted_loss, wanted = passed(eager, pack(conversations(6, seed=6)))
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    assert all(torch.allclose(found[name], g, rtol=1e-4, atol=1e-7) for name, g in wanted.items())
    torch._dynamo.reset()


def test_nothing_is_compiled_on_a_cpu_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(pointwise.SWITCH, raising=False)
    assert pointwise.pointwise_for(torch.device("cpu")) is EAGER
    monkeypatch.setenv(pointwise.SWITCH, "1")
    monkeypatch.setattr(pointwise, "_compiles", lambda _device: True)
    assert pointwise.pointwise_for(torch.device("cpu")) is compiled()
    monkeypatch.setenv(pointwise.SWITCH, "0")
    assert pointwise.pointwise_for(torch.device("cuda")) is EAGER


def broken(*_arguments: object) -> object:
    raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")


def test_without_a_working_compiler_functions_run_as_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a CPU nobody is warned, as nobody expects it; on a card once, with what to install."""
    monkeypatch.setenv(pointwise.SWITCH, "1")
    monkeypatch.setattr(pointwise, "_attempt", broken)
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: True)
    pointwise._compiles.cache_clear()
    with caplog.at_level(logging.WARNING, logger="stint.model"):
        for _ in range(2):
            assert pointwise.pointwise_for(torch.device("cpu")) is EAGER
        assert not caplog.records
        for _ in range(2):
            assert pointwise.pointwise_for(torch.device("cuda")) is EAGER
    pointwise._compiles.cache_clear()
    (record,) = caplog.records
    assert "gcc" in record.getMessage()


def test_a_function_that_a_compiler_refuses_runs_as_written_and_the_others_stay_compiled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        tried.append(len(list(graph.graph.nodes)))
        return broken() if len(tried) == 1 else graph.forward  # type: ignore[return-value]

    torch._dynamo.reset()
    made = pointwise.Pointwise(
        norm=pointwise._compile(EAGER.norm, backend), softmax=pointwise._compile(EAGER.softmax, backend)
    )
    x, weight = torch.randn(3, 8), torch.randn(8)
    with caplog.at_level(logging.WARNING, logger="stint.model"):
        for _ in range(3):
            assert torch.equal(made.norm(x, weight, 1e-6)[0], EAGER.norm(x, weight, 1e-6)[0])
            assert torch.equal(made.softmax(x), EAGER.softmax(x))
    torch._dynamo.reset()
    (record,) = caplog.records
    assert record.getMessage().startswith("norm is not compiled")
    assert len(tried) == 2


def test_merging_holds_no_weight_twice_and_changes_none() -> None:
    model = tiny("qwen3")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    adapted = attach(model, AdapterSpec(rank=4, domains=("a", "b", "c")))
    normal_routers(adapted)
    packed = pack(conversations(3))
    first = packed_hidden(adapted, packed)
    passed(adapted, packed)
    block = adapted.layers[0].block
    storages = {
        block.self_attn.q_proj.base.weight.untyped_storage().data_ptr(),
        block.self_attn.k_proj.base.weight.untyped_storage().data_ptr(),
        block.self_attn.v_proj.base.weight.untyped_storage().data_ptr(),
    }
    assert len(storages) == 1
    after = {name.replace(".base.", "."): p for name, p in adapted.model.named_parameters()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(packed_hidden(adapted, packed), first)


def test_norms_of_one_row_are_textbook() -> None:
    x, weight = torch.randn(3, 8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    out, _ = EAGER.norm(x, weight, 1e-6)
    assert torch.allclose(out, functional.rms_norm(x, (8,), weight, 1e-6))
