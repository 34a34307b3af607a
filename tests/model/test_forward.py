"""A packed bin is its conversations and nothing else, and the chunked loss is the textbook loss."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from engine.model.adapters import Adapted
from engine.model.forward import evaluate_bin, forward_loss, packed_hidden, valid_tokens
from engine.model.loss import row_nll, summed_nll
from engine.model.product import linear
from tests.model.conftest import FAMILIES, conversations, pack


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_conversations_do_not_see_each_other(build, family: str) -> None:
    adapted: Adapted = build(family)
    made = conversations(5)
    packed = pack(made)
    together = adapted.head(packed_hidden(adapted, packed))
    for index, one in enumerate(made):
        alone = adapted.model(torch.tensor([one.ids]), use_cache=False).logits[0]
        start, stop = packed.starts[index : index + 2]
        assert (together[start:stop] - alone).abs().max() < 1e-5


def test_the_loss_is_the_sum_over_targets_of_the_textbook_loss(build) -> None:
    adapted: Adapted = build()
    made = conversations(5)
    expected = torch.zeros(())
    for one in made:
        with torch.no_grad():
            logits = adapted.model(torch.tensor([one.ids]), use_cache=False).logits[0]
        rows = functional.cross_entropy(logits[:-1], torch.tensor(one.ids[1:]), reduction="none")
        expected += rows[one.masked - 1 :].sum()
    got = forward_loss(adapted, pack(made)).detach()
    assert got.dtype is torch.float32
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    assert float(forward_loss(adapted, pack(made), scale=0.5).detach()) == pytest.approx(float(expected) / 2, rel=1e-5)


def test_evaluation_gives_each_conversation_its_own_sum(build) -> None:
    adapted: Adapted = build()
    made = conversations(6)
    scores = evaluate_bin(adapted, pack(made))
    assert scores.domains.tolist() == [one.domain for one in made]
    assert scores.targets.tolist() == [len(one.ids) - one.masked for one in made]
    for index, one in enumerate(made):
        alone = evaluate_bin(adapted, pack([one]))
        assert float(scores.nll[index]) == pytest.approx(float(alone.nll[0]), rel=1e-5)
    assert float(scores.nll.sum()) == pytest.approx(float(forward_loss(adapted, pack(made)).detach()), rel=1e-6)


def test_padding_changes_neither_loss_nor_gradients_nor_counts(build) -> None:
    made = conversations(5)
    results = []
    for padding in (0, 9):
        adapted: Adapted = build(double=True, balance_weight=0.5)
        adapted.routing.usage.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]))
        packed = pack(made, padding)
        assert valid_tokens(packed) == sum(len(one.ids) for one in made)
        adapted.routing.begin_step(valid_tokens(packed))
        loss = forward_loss(adapted, packed)
        loss.backward()
        adapted.routing.end_step()
        gradients = {name: p.grad for name, p in adapted.parameters().items()}
        results.append((loss.detach(), gradients, adapted.routing.sample(), evaluate_bin(adapted, packed)))
    (loss, gradients, sample, scores), (padded_loss, padded_gradients, padded_sample, padded_scores) = results
    assert torch.allclose(loss, padded_loss, rtol=1e-13)
    assert all(torch.allclose(g, padded_gradients[name], atol=1e-12) for name, g in gradients.items())
    assert sample.counts == padded_sample.counts
    assert sample.domains == padded_sample.domains
    assert scores.targets.tolist() == padded_scores.targets.tolist()


def test_the_order_of_conversations_in_a_bin_does_not_matter(build) -> None:
    adapted: Adapted = build(double=True)
    made = conversations(6)
    losses = [forward_loss(adapted, pack(order)) for order in (made, made[::-1])]
    assert torch.allclose(*losses, rtol=1e-12)


def test_a_bin_without_targets_has_no_loss_and_still_trains_nothing_wrong(build) -> None:
    adapted: Adapted = build()
    packed = pack([conversations(1)[0]])
    packed.labels.fill_(-100)
    adapted.routing.begin_step(valid_tokens(packed))
    loss = forward_loss(adapted, packed)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not adapted.parameters()["layers.0.mlp.up_proj.lora_A"].grad.isnan().any()
    assert evaluate_bin(adapted, packed).targets.tolist() == [0]


@pytest.mark.parametrize("chunk_rows", [1, 3, 64])
@pytest.mark.parametrize("biased", [False, True])
def test_the_chunked_loss_passes_gradcheck_and_equals_cross_entropy(chunk_rows: int, biased: bool) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, 6, dtype=torch.float64)
    bias = torch.randn(11, dtype=torch.float64) if biased else None
    targets = torch.randint(11, (7,))

    def loss(x: torch.Tensor) -> torch.Tensor:
        return summed_nll(x, weight, bias, targets, chunk_rows=chunk_rows)

    assert torch.autograd.gradcheck(loss, (hidden,))
    expected = functional.cross_entropy(functional.linear(hidden, weight, bias), targets, reduction="none")
    assert torch.allclose(loss(hidden), expected.sum())
    assert torch.allclose(row_nll(hidden, weight, bias, targets, chunk_rows=chunk_rows), expected)


def test_logits_never_exist_for_more_rows_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_seen = []
    original = linear

    def spy(x: torch.Tensor, *rest: object) -> torch.Tensor:
        rows_seen.append(x.shape[0])
        return original(x, *rest)

    monkeypatch.setattr("engine.model.loss.linear", spy)
    hidden = torch.randn(10, 4, requires_grad=True)
    summed_nll(hidden, torch.randn(9, 4), None, torch.zeros(10, dtype=torch.int64), chunk_rows=4).backward()
    assert rows_seen == [4, 4, 2]


def test_generation_runs_on_the_adapted_model_and_counts_nothing(build) -> None:
    adapted: Adapted = build()
    ids = torch.tensor([[5, 6, 7]])
    out = adapted.model.generate(
        ids, max_new_tokens=4, do_sample=False, use_cache=True, pad_token_id=0, eos_token_id=None
    )
    assert out.shape == (1, 7)
    # What was generated with a cache is what one forward over the whole text would choose.
    logits = adapted.model(out, use_cache=False).logits[0]
    assert logits[2:-1].argmax(-1).tolist() == out[0, 3:].tolist()
    assert adapted.routing.sample() is None
    assert adapted.routing.sample_evaluation() is None


def test_a_bfloat16_base_trains_float32_adapters_close_to_the_float32_ones(build) -> None:
    packed = pack(conversations(8))
    exact: Adapted = build()
    rounded: Adapted = build()
    rounded.model.to(torch.bfloat16)
    for name, parameter in rounded.parameters().items():
        parameter.data = exact.parameters()[name].detach().clone()
    losses = []
    for adapted in (exact, rounded):
        adapted.routing.begin_step(valid_tokens(packed))
        loss = forward_loss(adapted, packed, scale=1 / packed.targets)
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    for name, parameter in rounded.parameters().items():
        assert parameter.grad.dtype is torch.float32
        wanted = exact.parameters()[name].grad
        # A flipped router tie moves whole tokens between experts, so directions are compared, not values.
        assert functional.cosine_similarity(parameter.grad.flatten(), wanted.flatten(), dim=0) > 0.9, name
