"""What only a CUDA device can show: its attention kernel, bfloat16 at the real width, compiled lengths, no waiting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import engine.model.attention as attention
from engine.data.batches import make_bins
from engine.data.example import Example
from engine.model.adapters import Adapted, attach
from engine.model.attention import Kernel, Segments, attend, attend_backward, kernel_for
from engine.model.forward import forward_loss, valid_tokens
from engine.model.pointwise import EAGER, pointwise_for
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from engine.training.step import take_step
from tests.model.conftest import VOCABULARY, Bin, Conversation, pack, spread
from tests.model.trained import shape_12b, trained

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none here"),
]


@pytest.fixture(autouse=True)
def _freed() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.empty_cache()


def bins(*lengths: tuple[int, ...]) -> list[Bin]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for each in lengths:
        rows = [torch.randint(1, VOCABULARY, (n,), generator=generator).tolist() for n in each]
        made.append(pack([Conversation(ids=tuple(ids), masked=len(ids) // 3, domain=0) for ids in rows]))
    return made


def layer_12b(dtype: torch.dtype, **choices: object) -> Adapted:
    """One layer of the 12B shape, of the same weights whatever the dtype."""
    from transformers import MistralForCausalLM

    torch.manual_seed(0)
    model = (
        MistralForCausalLM(shape_12b(num_hidden_layers=1, vocab_size=VOCABULARY)).to(torch.bfloat16).to(dtype).cuda()
    )
    adapted = attach(model, AdapterSpec(domains=("a",), **choices))
    normal_routers(adapted, std=0.02)
    return spread_on_device(adapted)


def spread_on_device(adapted: Adapted) -> Adapted:
    adapted.model.cpu()
    spread(adapted, size=0.002)
    adapted.model.cuda()
    return adapted


def passed(adapted: Adapted, packed: Bin) -> dict[str, torch.Tensor]:
    for parameter in adapted.parameters().values():
        parameter.grad = None
    adapted.routing.begin_step(valid_tokens(packed))
    forward_loss(adapted, packed, scale=1 / packed.targets).backward()
    return {name: p.grad.float() for name, p in adapted.parameters().items()}


def error(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    return max(float((found[name] - g).norm() / g.norm()) for name, g in wanted.items())


@pytest.mark.parametrize("heads", [(8, 8), (8, 2), (32, 8)])
def test_the_varlen_kernel_reads_grouped_heads_forward_and_backward(heads: tuple[int, int]) -> None:
    torch.manual_seed(0)
    lengths, (own, shared) = (1, 300, 77), heads
    merged = torch.randn(sum(lengths), own + 2 * shared, 128, device="cuda", dtype=torch.bfloat16)
    query, key, value = merged.split((own, shared, shared), dim=1)
    segments = Segments.of(torch.tensor([0, 1, 301, 378]), sum(lengths), merged.device)
    assert kernel_for(query) is Kernel.VARLEN
    results = []
    slope = torch.randn_like(query)
    for parts in ((query, key, value), (query.float(), key.float(), value.float())):
        out, kept = attend(*parts, segments, 0.1)
        results.append((out, *attend_backward(slope.to(out.dtype), *parts, out, kept, segments, 0.1)))
    assert kernel_for(query.float()) is attention.Kernel.PLAIN
    for found, wanted in zip(*results, strict=True):
        assert (found.float() - wanted).norm() <= 2e-2 * wanted.norm()


@pytest.mark.parametrize("choices", [{"mode": "lora"}, {"top_k": 4}, {"top_k": 4, "experts": "private"}], ids=str)
def test_one_layer_of_the_12b_shape_in_bfloat16_is_as_exact_as_its_reference(choices: dict) -> None:
    # All experts are used: with fewer, a router tie decided otherwise moves whole tokens.
    (packed,) = bins((700, 300, 200))
    exact = layer_12b(torch.float32, **choices)
    with exact.compute.on_reference():
        wanted = passed(exact, packed)
    del exact
    torch.cuda.empty_cache()
    adapted = layer_12b(torch.bfloat16, **choices)
    found = passed(adapted, packed)
    with adapted.compute.on_reference():
        rounded = passed(adapted, packed)
    assert error(found, wanted) <= max(2e-2, 1.2 * error(rounded, wanted))


def test_a_pass_never_waits_for_the_device() -> None:
    adapted = layer_12b(torch.bfloat16)
    warm, packed = bins((300, 200), (500, 100, 90))
    for one in (warm, packed):
        passed(adapted, one)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    passed(adapted, packed)


BIN_TOKENS = 512


def examples(seed: int) -> list[Example]:
    chance = np.random.default_rng(seed)
    rows = [chance.integers(1, VOCABULARY, size=size).astype(np.int32) for size in (300, 200, 90, 410)]
    return [Example(ids=ids, labels=ids, domain_index=0, conversation=number) for number, ids in enumerate(rows)]


def test_whole_steps_and_telling_them_one_late_never_wait_for_the_device() -> None:
    trainer = trained(layer_12b(torch.bfloat16))
    for seed in range(2):
        take_step(trainer, make_bins(examples(seed), BIN_TOKENS), rate=1e-4, ramp=1.0).numbers.read()  # type: ignore[arg-type]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    before, losses = None, []
    for seed in range(2, 6):
        stats = take_step(trainer, make_bins(examples(seed), BIN_TOKENS), rate=1e-4, ramp=1.0)  # type: ignore[arg-type]
        sample = trainer.adapted.routing.sample_later()
        if before is not None:
            told, counted = before
            losses.append(told.loss)
            assert told.rejected is None
            assert told.device_s is not None
            assert told.device_s > 0.0
            assert counted.read() is not None
        before = stats, sample
    torch.cuda.set_sync_debug_mode("default")
    assert len(losses) == 3
    assert all(loss is not None for loss in losses)


def test_a_step_is_rejected_on_the_device_without_the_host_knowing() -> None:
    trainer = trained(layer_12b(torch.bfloat16))
    take_step(trainer, make_bins(examples(0), BIN_TOKENS), rate=1e-4, ramp=1.0)  # type: ignore[arg-type]
    before = [p.detach().clone() for p in trainer.parameters]
    usage = trainer.adapted.routing.usage.clone()
    norm = trainer.adapted.model.model.norm.weight
    kept = norm.data.clone()
    norm.data.fill_(float("nan"))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    stats = take_step(trainer, make_bins(examples(1), BIN_TOKENS), rate=1e-4, ramp=1.0)  # type: ignore[arg-type]
    torch.cuda.set_sync_debug_mode("default")
    norm.data.copy_(kept)
    assert stats.rejected == "the loss is not finite"
    assert all(torch.equal(now, then) for now, then in zip(trainer.parameters, before, strict=True))
    assert torch.equal(trainer.adapted.routing.usage, usage)


def test_other_lengths_run_through_what_was_compiled() -> None:
    adapted = layer_12b(torch.bfloat16)
    several = bins((300, 200), (512, 40), (100,), (700, 3, 90), (255,))
    for one in several[:2]:
        passed(adapted, one)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert pointwise_for(adapted.device) is not EAGER
    assert before > 0
    for one in several[2:]:
        passed(adapted, one)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before
