"""Norms and cosines of updates, from rank-sized matrices, are those of the updates written out."""

from __future__ import annotations

import pytest
import torch

from engine.model.adapters import Adapted
from engine.model.experts import ExpertLinear
from engine.model.inspect import inspect


def updates(adapted: Adapted, layer: int) -> torch.Tensor:
    """(experts, values): s * B A of a layer's three linears, written out and laid end to end."""
    parts = []
    for linear in adapted.layers[layer].ffn.values():
        assert isinstance(linear, ExpertLinear)
        a = linear.lora_A if linear.shared else linear.lora_A.unbind()
        parts.append(
            torch.stack(
                [linear.scale * b @ (a if linear.shared else a[e]) for e, b in enumerate(linear.lora_B)]
            ).flatten(1)
        )
    return torch.cat(parts, dim=1).detach()


@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_norms_and_similarity_are_those_of_the_written_updates(build, experts: str) -> None:
    adapted: Adapted = build(experts=experts)
    found = inspect(adapted)
    for layer in range(2):
        written = updates(adapted, layer).double()
        assert torch.allclose(found.norms[layer], written.norm(dim=1), rtol=1e-5)
        unit = written / written.norm(dim=1, keepdim=True)
        assert torch.allclose(found.similarity[layer], unit @ unit.t(), atol=1e-5)
        pairs = (unit @ unit.t())[~torch.eye(4, dtype=torch.bool)]
        assert float(found.layer_similarity[layer]) == pytest.approx(float(pairs.mean()), abs=1e-5)
        attention = torch.cat(
            [(q.scale * q.lora_B @ q.lora_A).flatten() for q in adapted.layers[layer].attention.values()]
        )
        assert float(found.attention_norms[layer]) == pytest.approx(float(attention.detach().norm()), rel=1e-5)


def test_equal_experts_are_alike_and_an_untrained_one_is_like_none(build) -> None:
    adapted: Adapted = build()
    with torch.no_grad():
        for linear in adapted.layers[0].ffn.values():
            linear.lora_B[1] = 3 * linear.lora_B[0]
            linear.lora_B[2] = 0
    found = inspect(adapted)
    assert float(found.similarity[0, 0, 1]) == pytest.approx(1.0)
    assert float(found.norms[0, 1]) == pytest.approx(3 * float(found.norms[0, 0]))
    assert float(found.norms[0, 2]) == 0.0
    assert found.similarity[0, 2].tolist() == [0.0, 0.0, 1.0, 0.0]


def test_a_plain_lora_has_norms_for_its_attention_and_no_experts(build) -> None:
    found = inspect(build(mode="lora"))
    assert found.norms.shape[0] == found.similarity.shape[0] == found.layer_similarity.shape[0] == 0
    assert found.attention_norms.shape == (2,)
    assert (found.attention_norms > 0).all()
