"""A resumed optimizer steps exactly as if it had never stopped, and foreign state is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine.checkpoint.errors import CheckpointInvalid
from engine.checkpoint.optimizer_state import load_optimizer, save_optimizer

KINDS = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def build(kind: str, width: int = 6) -> tuple[dict[str, nn.Parameter], torch.optim.AdamW]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"a.weight": (4, width), "b.weight": (width, 4), "router.weight": (3, 4)}
    parameters = {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}
    groups = [
        {"params": [parameters["a.weight"]], "weight_decay": 0.01},
        {"params": [parameters["b.weight"]], "weight_decay": 0.0},
        {"params": [parameters["router.weight"]], "lr": 3e-3, "weight_decay": 0.0},
    ]
    return parameters, torch.optim.AdamW(groups, lr=1e-2, **KINDS[kind])


def train(parameters: dict[str, nn.Parameter], optimizer: torch.optim.AdamW, steps: range) -> None:
    for step in steps:
        inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(step))
        loss = (
            ((inputs @ parameters["a.weight"] @ parameters["b.weight"]) @ parameters["router.weight"].T).square().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_a_resume_is_bit_identical(tmp_path, kind):
    straight, optimizer = build(kind)
    train(straight, optimizer, range(20))

    parameters, optimizer = build(kind)
    train(parameters, optimizer, range(10))
    save_optimizer(optimizer, parameters, tmp_path / "optimizer.safetensors")
    resumed, optimizer = build(kind)
    with torch.no_grad():
        for name, parameter in resumed.items():
            parameter.copy_(parameters[name])
    load_optimizer(optimizer, resumed, tmp_path / "optimizer.safetensors")
    train(resumed, optimizer, range(10, 20))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_state_follows_the_name_not_the_position(tmp_path):
    parameters, optimizer = build("foreach")
    train(parameters, optimizer, range(3))
    save_optimizer(optimizer, parameters, tmp_path / "o")
    other, _ = build("foreach")
    reordered = torch.optim.AdamW([other["router.weight"], other["b.weight"], other["a.weight"]])
    load_optimizer(reordered, dict(reversed(other.items())), tmp_path / "o")
    for name in parameters:
        assert torch.equal(reordered.state[other[name]]["exp_avg"], optimizer.state[parameters[name]]["exp_avg"])
        assert reordered.state[other[name]]["step"].item() == 3


def test_a_parameter_never_stepped_stays_without_state(tmp_path):
    parameters, optimizer = build("foreach")
    train(parameters, optimizer, range(2))
    del optimizer.state[parameters["router.weight"]]
    save_optimizer(optimizer, parameters, tmp_path / "o")
    resumed, again = build("foreach")
    train(resumed, again, range(5))
    load_optimizer(again, resumed, tmp_path / "o")
    assert resumed["router.weight"] not in again.state
    assert again.state[resumed["a.weight"]]["step"].item() == 2


def test_moments_that_share_one_buffer_can_be_saved(tmp_path):
    parameters, optimizer = build("foreach")
    train(parameters, optimizer, range(2))
    flat = torch.cat([optimizer.state[parameter]["exp_avg"].flatten() for parameter in parameters.values()])
    start = 0
    for parameter in parameters.values():
        optimizer.state[parameter]["exp_avg"] = flat[start : start + parameter.numel()].view(parameter.shape)
        start += parameter.numel()
    save_optimizer(optimizer, parameters, tmp_path / "o")
    assert torch.equal(load_file(tmp_path / "o")["a.weight.exp_avg"].flatten(), flat[:24])


def saved(tmp_path: Path) -> Path:
    parameters, optimizer = build("foreach")
    train(parameters, optimizer, range(2))
    save_optimizer(optimizer, parameters, tmp_path / "o")
    return tmp_path / "o"


def rewritten(path: Path, change) -> Path:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "stint.adamw/1", "fresh": "[]"})
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("a.weight.exp_avg"), "it has no a.weight.exp_avg"),
        (lambda tensors: tensors.update({"c.exp_avg": torch.zeros(2)}), "c.exp_avg is not of this model"),
        (
            lambda tensors: tensors.update({"b.weight.exp_avg_sq": torch.zeros(2, 2)}),
            r"b.weight.exp_avg_sq is \(2, 2\)",
        ),
        (lambda tensors: tensors.update({"b.weight.step": torch.zeros((), dtype=torch.float64)}), "b.weight.step is"),
    ],
)
def test_state_of_another_model_is_refused_and_nothing_is_changed(tmp_path, change, said):
    path = rewritten(saved(tmp_path), change)
    parameters, optimizer = build("foreach")
    train(parameters, optimizer, range(1))
    before = optimizer.state[parameters["a.weight"]]["exp_avg"].clone()
    with pytest.raises(CheckpointInvalid, match=said):
        load_optimizer(optimizer, parameters, path)
    assert torch.equal(optimizer.state[parameters["a.weight"]]["exp_avg"], before)


def test_a_file_of_another_kind_is_refused(tmp_path):
    parameters, optimizer = build("foreach")
    (tmp_path / "o").write_bytes(b"PK\x03\x04 a pickle of old")
    with pytest.raises(CheckpointInvalid, match="cannot be read"):
        load_optimizer(optimizer, parameters, tmp_path / "o")
    save_file({"x": torch.zeros(1)}, tmp_path / "p")
    with pytest.raises(CheckpointInvalid, match="format"):
        load_optimizer(optimizer, parameters, tmp_path / "p")


def test_names_must_cover_exactly_what_is_trained(tmp_path):
    parameters, optimizer = build("foreach")
    parameters.pop("b.weight")
    with pytest.raises(ValueError, match="exactly"):
        save_optimizer(optimizer, parameters, tmp_path / "o")
