"""What is written is what PEFT loads, and what is read back is what was trained, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from configs.errors import ConfigError
from engine.model.adapters import Adapted
from engine.model.export import read_adapter, read_spec, write_adapter
from engine.model.gates import Uniform

CHOICES = [{"experts": "shared_a"}, {"experts": "private"}, {"mode": "lora", "rank": 6}]


@pytest.mark.parametrize("choices", CHOICES, ids=["shared_a", "private", "lora"])
@pytest.mark.parametrize("family", ["mistral", "llama"])
def test_peft_loads_the_adapter_and_gives_the_uniform_gates_logits(
    build, bases: dict[str, Path], tmp_path: Path, family: str, choices: dict[str, object]
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapted: Adapted = build(family, **choices)
    write_adapter(adapted, tmp_path, str(bases[family]))
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(bases[family]).eval()
        plain = base(ids).logits
        static = PeftModel.from_pretrained(base, tmp_path).eval()(ids).logits
        with adapted.routing.overridden(Uniform()):
            uniform = adapted.model(ids, use_cache=False).logits
        routed = adapted.model(ids, use_cache=False).logits
    assert (static - uniform).abs().max() < 1e-5
    assert (static - plain).abs().max() > 1e-3
    if adapted.spec.routed:
        assert (static - routed).abs().max() > 1e-4


@pytest.mark.parametrize("choices", CHOICES, ids=["shared_a", "private", "lora"])
def test_a_round_trip_is_exact_to_the_bit(build, tmp_path: Path, choices: dict[str, object]) -> None:
    adapted: Adapted = build(**choices)
    if adapted.spec.routed:
        adapted.routing.usage.uniform_()
    write_adapter(adapted, tmp_path, "owner/base")
    other: Adapted = build(**choices, seed=9)
    before = next(iter(other.parameters().values())).clone()
    read_adapter(other, tmp_path)
    assert not torch.equal(before, next(iter(other.parameters().values())))
    for name, value in adapted.parameters().items():
        assert torch.equal(value, other.parameters()[name]), name
        assert other.parameters()[name].requires_grad
    assert torch.equal(adapted.routing.usage, other.routing.usage)
    spec = read_spec(tmp_path)
    assert (spec.mode, spec.rank, spec.alpha) == (adapted.spec.mode, adapted.spec.rank, adapted.spec.alpha)
    if adapted.spec.routed:
        assert (spec.experts, spec.top_k, spec.domains) == (adapted.spec.experts, 2, adapted.spec.domains)


def test_plain_lora_writes_no_expert_file(build, tmp_path: Path) -> None:
    write_adapter(build(mode="lora"), tmp_path, "owner/base")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def damage(path: Path, name: str, value: torch.Tensor | None) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    tensors = load_file(path)
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    save_file(tensors, path, metadata=told)


ROUTER = "layers.1.router.weight"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        (ROUTER, None, f"lacks the tensor {ROUTER}"),
        ("layers.9.extra", torch.zeros(2), "has the tensor layers.9.extra"),
        (ROUTER, torch.zeros(4, 31), r"layers.1.router.weight as torch.float32 \(4, 31\)"),
        (ROUTER, torch.zeros(4, 32, dtype=torch.bfloat16), "as torch.bfloat16"),
        (ROUTER, torch.full((4, 32), torch.nan), "not finite"),
        ("layers.0.mlp.up_proj.lora_B", torch.zeros(4, 48, 4), "do not belong together"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name_and_changes_nothing(
    build, tmp_path: Path, name: str, value: torch.Tensor | None, complaint: str
) -> None:
    write_adapter(build(), tmp_path, "owner/base")
    damage(tmp_path / "moe_layers.safetensors", name, value)
    other: Adapted = build(seed=9)
    before = {key: p.clone() for key, p in other.parameters().items()}
    with pytest.raises(ConfigError, match=complaint):
        read_adapter(other, tmp_path)
    assert all(torch.equal(p, before[key]) for key, p in other.parameters().items())


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors", "moe_layers.safetensors"])
def test_a_missing_file_is_refused_by_name(build, tmp_path: Path, missing: str) -> None:
    write_adapter(build(experts="private"), tmp_path, "owner/base")
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigError, match=missing):
        read_adapter(build(experts="private"), tmp_path)


def test_a_truncated_file_is_refused(build, tmp_path: Path) -> None:
    write_adapter(build(), tmp_path, "owner/base")
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="not a whole safetensors file"):
        read_adapter(build(), tmp_path)


@pytest.mark.parametrize("choices", [{"top_k": 1}, {"alpha": 4.0}, {"experts": "private"}, {"mode": "lora"}])
def test_an_adapter_of_other_experts_is_refused(build, tmp_path: Path, choices: dict[str, object]) -> None:
    write_adapter(build(), tmp_path, "owner/base")
    with pytest.raises(ConfigError, match=next(iter(choices))):
        read_adapter(build(**choices), tmp_path)


def test_a_foreign_expert_file_is_refused(build, tmp_path: Path) -> None:
    write_adapter(build(), tmp_path, "owner/base")
    path = tmp_path / "moe_layers.safetensors"
    save_file(load_file(path), path, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="format"):
        read_adapter(build(), tmp_path)
