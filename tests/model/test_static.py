"""Constant gates as a standard adapter: what PEFT computes from it, and what merging adds to a weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.model.adapters import Adapted
from engine.model.experts import ExpertLinear
from engine.model.export import STANDARD, write_adapter
from engine.model.gates import Fixed
from engine.model.static import static_delta, static_tensors

GATES = torch.tensor([[0.5, 0.3, 0.1, 0.1], [0.0, 0.2, 0.7, 0.1]])


@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_peft_computes_the_model_with_those_gates(build, bases: dict[str, Path], tmp_path: Path, experts: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapted: Adapted = build(experts=experts)
    write_adapter(adapted, tmp_path, str(bases["mistral"]))
    save_file(static_tensors(adapted, GATES), tmp_path / STANDARD, metadata={"format": "pt"})
    ids = torch.arange(3, 40)[None]
    with torch.no_grad(), adapted.routing.overridden(Fixed(GATES)):
        wanted = adapted.model(ids, use_cache=False).logits
    with torch.no_grad():
        routed = adapted.model(ids, use_cache=False).logits
        base = AutoModelForCausalLM.from_pretrained(bases["mistral"]).eval()
        found = PeftModel.from_pretrained(base, tmp_path).eval()(ids).logits
    assert (found - wanted).abs().max() < 1e-5
    assert (found - routed).abs().max() > 1e-3


@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_uniform_gates_give_the_exported_average(build, tmp_path: Path, experts: str) -> None:
    adapted: Adapted = build(experts=experts)
    write_adapter(adapted, tmp_path, "owner/base")
    found = static_tensors(adapted, torch.full((2, 4), 0.25))
    wanted = load_file(tmp_path / STANDARD)
    assert found.keys() == wanted.keys()
    assert all(torch.allclose(found[name], value, atol=1e-7) for name, value in wanted.items())


@pytest.mark.parametrize("choices", [{"experts": "shared_a"}, {"experts": "private"}, {"mode": "lora"}])
def test_the_delta_is_what_the_linear_adds_to_its_base(build, choices: dict[str, str]) -> None:
    adapted: Adapted = build(**choices)
    layer = adapted.layers[1]
    for linear in layer.linears.values():
        x = torch.randn(5, linear.lora_A.shape[-1])
        routed = isinstance(linear, ExpertLinear)
        with torch.no_grad():
            y = linear(x, GATES[1].expand(5, -1)) if routed else linear(x)
            delta = static_delta(linear, GATES[1] if routed else None)
            assert torch.allclose(y - linear.base(x), x @ delta.t(), atol=1e-4)
