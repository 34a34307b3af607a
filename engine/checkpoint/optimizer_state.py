"""AdamW's memory by parameter name in optimizer.safetensors, so that a resumed run steps bit for bit as before.

Names, not positions: a parameter that moved between groups still finds its own moments. Nothing is guessed: a name,
shape or dtype that differs from the model's is an error, never a silent fresh start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import orjson
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.checkpoint.errors import CheckpointInvalid

FORMAT = "stint.adamw/1"
MOMENTS = ("exp_avg", "exp_avg_sq")
STEP = "step"
PARTS = (*MOMENTS, STEP)


def save_optimizer(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], path: Path) -> None:
    """Write the state of every parameter the optimizer trains as `<name>.exp_avg`, `.exp_avg_sq` and `.step`.

    `parameters` maps stable names to the very tensors in the optimizer's groups. One that has never been stepped has
    no state; its name is listed in the file, so that its absence is a fact and not a gap.
    """
    _require_same_parameters(optimizer, parameters)
    tensors: dict[str, Tensor] = {}
    fresh: list[str] = []
    for name, parameter in parameters.items():
        state = optimizer.state.get(parameter)
        if not state:
            fresh.append(name)
            continue
        if set(state) != set(PARTS):
            raise ValueError(f"the optimizer keeps {sorted(state)} for {name}; only plain AdamW state can be saved")
        for part in PARTS:
            # A copy of its own: moments may be views of one flat buffer, which the format refuses to store.
            tensors[f"{name}.{part}"] = state[part].detach().to(device="cpu", copy=True).contiguous()
    save_file(tensors, path, metadata={"format": FORMAT, "fresh": orjson.dumps(sorted(fresh)).decode()})


def load_optimizer(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], path: Path) -> None:
    """Replace the optimizer's state by the one in `path`; raises `CheckpointInvalid` before anything is changed."""
    _require_same_parameters(optimizer, parameters)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointInvalid(f"The optimizer state {path} cannot be read: {error}. Resume from another.") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointInvalid(f"{path} is not optimizer state of a format this Stint reads. Resume from another.")
    fresh = frozenset(orjson.loads(metadata["fresh"]))
    problems = _differences(tensors, fresh, parameters)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointInvalid(
            f"The optimizer state {path} belongs to another model or configuration: {'; '.join(problems[:3])}{more}. "
            "Resume with the configuration it was saved with, or start a new run."
        )
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in parameters.items():
        optimizer.state.pop(parameter, None)
        if name in fresh:
            continue
        group = groups[id(parameter)]
        # Fused and capturable kernels count steps on the device; the others on the host.
        on_device = bool(group.get("fused")) or bool(group.get("capturable"))
        optimizer.state[parameter] = {
            STEP: tensors[f"{name}.{STEP}"].to(parameter.device if on_device else "cpu"),
            **{moment: tensors[f"{name}.{moment}"].to(parameter.device) for moment in MOMENTS},
        }


def _require_same_parameters(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> None:
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if trained != {id(parameter) for parameter in parameters.values()} or len(trained) != len(parameters):
        raise ValueError("the named parameters are not exactly those the optimizer trains")


def _differences(tensors: Mapping[str, Tensor], fresh: frozenset[str], parameters: Mapping[str, Tensor]) -> list[str]:
    expected = {
        f"{name}.{part}": (parameter, part)
        for name, parameter in parameters.items()
        for part in PARTS
        if name not in fresh
    }
    problems = [f"it has no {key}" for key in sorted(expected.keys() - tensors.keys())]
    problems += [f"{key} is not of this model" for key in sorted(tensors.keys() - expected.keys())]
    problems += [f"{name} is not of this model" for name in sorted(fresh - parameters.keys())]
    for key in sorted(expected.keys() & tensors.keys()):
        parameter, part = expected[key]
        shape, dtype = (torch.Size(()), torch.float32) if part == STEP else (parameter.shape, parameter.dtype)
        stored = tensors[key]
        if stored.shape != shape or stored.dtype != dtype:
            problems.append(f"{key} is {tuple(stored.shape)} {stored.dtype}, not {tuple(shape)} {dtype}")
    return problems
