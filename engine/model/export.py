"""Adapters as files: the standard adapter that any PEFT user can load, and beside it all experts and routers.

`adapter_model.safetensors` is the model with uniform gates, exactly: with a shared A its feed-forward B is the mean of
the experts, with private A it is their concatenation at a rank of experts * rank, which PEFT scales by the same mean.
`moe_layers.safetensors` is the truth of the experts. Everything is float32 and reads back bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from configs.errors import ConfigError
from engine.model.adapters import Adapted
from engine.model.experts import ExpertLinear
from engine.model.headers import read_json
from engine.model.spec import ATTENTION, FFN, AdapterMode, AdapterSpec, ExpertMode

CONFIG = "adapter_config.json"
STANDARD = "adapter_model.safetensors"
EXPERTS = "moe_layers.safetensors"
NO_ROUTING = "inactive: with experts, this is their uniform average"
FORMAT = "stint-moe-1"
"""Written into the metadata of EXPERTS; another value is another layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an adapter's files say of the model it was trained in; None where they were written without saying."""

    base_dtype: str | None = None
    """`float32` or `bfloat16`: what the base computed in. Another precision flips router ties."""
    chat_template: str | None = None
    """`template_digest` of the chat template the conversations were rendered with."""


def template_digest(template: object) -> str:
    """SHA-256 of a tokenizer's chat template, a text or several by name."""
    text = template if isinstance(template, str) else orjson.dumps(template, option=orjson.OPT_SORT_KEYS).decode()
    return hashlib.sha256(text.encode()).hexdigest()


def write_adapter(adapted: Adapted, folder: Path, base_model_name: str, *, chat_template: str | None = None) -> None:
    """Write CONFIG, STANDARD and, with experts, EXPERTS into an existing folder.

    Args:
        adapted: the model whose parameters are written.
        folder: where to; files of these names are replaced.
        base_model_name: what PEFT should load underneath: a hub id or a path.
        chat_template: the `template_digest` of the template it was trained with.
    """
    for name, write in adapter_writers(adapted, base_model_name, chat_template=chat_template).items():
        write(folder / name)


def adapter_writers(
    adapted: Adapted, base_model_name: str, *, chat_template: str | None = None
) -> dict[str, Callable[[Path], None]]:
    """The files of `write_adapter` by name, each as a function that writes it to the path it is given."""
    spec = adapted.spec
    facts = {"base_dtype": str(adapted.embeddings.weight.dtype).removeprefix("torch.")}
    if chat_template is not None:
        facts["chat_template_sha256"] = chat_template
    config = orjson.dumps(peft_config(spec, base_model_name), option=orjson.OPT_INDENT_2)

    def write_config(path: Path) -> None:
        path.write_bytes(config)

    def write_standard(path: Path) -> None:
        save_file(dict(_standard(adapted)), path, metadata={"format": "pt", "routing": NO_ROUTING, **facts})

    def write_experts(path: Path) -> None:
        save_file(dict(_experts(adapted)), path, metadata=_metadata(spec) | facts)

    plain: dict[str, Callable[[Path], None]] = {CONFIG: write_config, STANDARD: write_standard}
    return plain | {EXPERTS: write_experts} if spec.routed else plain


def read_adapter(adapted: Adapted, folder: Path) -> None:
    """Put a folder's values into the model's parameters and usage average; nothing changes unless all of it fits.

    Raises:
        ConfigError: a tensor is missing, unknown, of another shape or dtype or not finite, the files were written for
            other experts, or the two files do not belong together.
    """
    _same_shape(adapted.spec, read_spec(folder), folder)
    standard = _checked(folder / STANDARD, dict(_standard(adapted)))
    experts = _checked(folder / EXPERTS, dict(_experts(adapted))) if adapted.spec.routed else {}
    _belong_together(standard, experts, folder)
    with torch.no_grad():
        for name, parameter in adapted.parameters().items():
            parameter.copy_(experts[name] if name in experts else standard[peft_name(name)])
    if adapted.spec.routed:
        adapted.routing.load_state({"usage": experts["usage"]})


def read_spec(folder: Path) -> AdapterSpec:
    """The shape of the adapters a folder holds, as far as using them needs it.

    Raises:
        ConfigError: a file is missing or was not written by Stint.
    """
    config = read_json(folder / CONFIG)
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        if not (folder / EXPERTS).is_file():
            if config.get("rank_pattern"):
                raise ConfigError(f"{folder} lacks {EXPERTS}, which its adapter was made from.")
            return AdapterSpec(mode=AdapterMode.LORA, rank=rank, alpha=alpha)
        with _opened(folder / EXPERTS) as file:
            told = file.metadata() or {}
        if told.get("format") != FORMAT:
            raise ConfigError(f"{folder / EXPERTS} has the format {told.get('format')!r}; this Stint reads {FORMAT!r}.")
        return AdapterSpec(
            experts=ExpertMode(told["expert_mode"]),
            num_experts=int(told["num_experts"]),
            top_k=int(told["top_k"]),
            rank=rank,
            alpha=alpha,
            domains=tuple(orjson.loads(told["domains"])),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"The adapter in {folder} was not written by Stint: {error}.") from error


def read_facts(folder: Path) -> Facts:
    """What a folder's files say of the model they were trained in.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    with _opened(folder / (EXPERTS if (folder / EXPERTS).is_file() else STANDARD)) as file:
        told = file.metadata() or {}
    return Facts(base_dtype=told.get("base_dtype"), chat_template=told.get("chat_template_sha256"))


def peft_config(spec: AdapterSpec, base_model_name: str) -> dict[str, object]:
    """CONFIG of the standard adapter, whatever constant gates it was made with."""
    private = spec.routed and spec.experts is ExpertMode.PRIVATE
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model_name,
        "inference_mode": True,
        "r": spec.rank,
        "lora_alpha": int(spec.alpha) if spec.alpha == int(spec.alpha) else spec.alpha,
        # PEFT divides alpha by the rank of the linear: at E times the rank that is the uniform gate's 1/E.
        "rank_pattern": dict.fromkeys(FFN, spec.num_experts * spec.rank) if private else {},
        "alpha_pattern": {},
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": [*ATTENTION, *FFN],
    }


def _metadata(spec: AdapterSpec) -> dict[str, str]:
    return {
        "format": FORMAT,
        "routing": "active: these experts with these routers",
        "expert_mode": spec.experts.value,
        "num_experts": str(spec.num_experts),
        "top_k": str(spec.top_k),
        "gate": "softmax over all experts in float32, largest top_k kept and renormalised",
        "rank": str(spec.rank),
        "alpha": str(spec.alpha),
        "scale": str(spec.scale),
        "domains": orjson.dumps(spec.domains).decode(),
    }


def peft_name(name: str) -> str:
    """What PEFT calls one of our parameters in a file."""
    return f"base_model.model.model.{name}.weight"


def _standard(adapted: Adapted) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and value of every tensor of STANDARD, on the host."""
    for layer in adapted.layers:
        for path, linear in layer.linears.items():
            a, b = linear.lora_A.detach().cpu(), linear.lora_B.detach().cpu()
            if isinstance(linear, ExpertLinear):
                a, b = _uniform(a, b)
            yield peft_name(f"layers.{layer.index}.{path}.lora_A"), a.contiguous()
            yield peft_name(f"layers.{layer.index}.{path}.lora_B"), b.contiguous()


def _uniform(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One LoRA that is the mean over experts: of their B when A is shared, else side by side at a higher rank."""
    return (a, b.mean(0)) if a.dim() == 2 else (a.flatten(0, 1), b.transpose(0, 1).flatten(1))


def _experts(adapted: Adapted) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and value of every tensor of EXPERTS, by the names of `Adapted.parameters`, and the usage average."""
    shared = adapted.spec.experts is ExpertMode.SHARED_A
    for name, parameter in adapted.parameters().items():
        _, _, *inside, kind = name.split(".")
        if kind == "weight" or (inside[0] == "mlp" and not (shared and kind == "lora_A")):
            yield name, parameter.detach().cpu().contiguous()
    yield "usage", adapted.routing.usage.detach().cpu().contiguous()


def _opened(path: Path) -> safe_open:
    if not path.is_file():
        raise ConfigError(f"There is no {path.name} in {path.parent}.")
    try:
        return safe_open(path, framework="pt", device="cpu")
    except Exception as error:  # safetensors raises its own untyped error for a damaged file
        raise ConfigError(f"{path} is not a whole safetensors file: {error}.") from error


def _checked(path: Path, expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All tensors of a file, which must be exactly the expected ones in name, shape and dtype, and finite."""
    with _opened(path) as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    for name in expected:
        if name not in found:
            raise ConfigError(f"{path} lacks the tensor {name}.")
    for name, value in found.items():
        if name not in expected:
            raise ConfigError(f"{path} has the tensor {name}, which this model does not have.")
        want = expected[name]
        if value.shape != want.shape or value.dtype != want.dtype:
            raise ConfigError(
                f"{path} has {name} as {value.dtype} {tuple(value.shape)}, this model needs {want.dtype} "
                f"{tuple(want.shape)}."
            )
        if not bool(value.isfinite().all()):
            raise ConfigError(f"{path} has values in {name} that are not finite numbers.")
    return found


def _same_shape(mine: AdapterSpec, theirs: AdapterSpec, folder: Path) -> None:
    keys = ("mode", "rank", "alpha", "experts", "num_experts", "top_k")
    for key in keys if mine.routed else keys[:3]:
        if getattr(mine, key) != getattr(theirs, key):
            raise ConfigError(
                f"The adapter in {folder} was trained with {key} = {getattr(theirs, key)}, the configuration says "
                f"{getattr(mine, key)}."
            )


def _belong_together(standard: dict[str, torch.Tensor], experts: dict[str, torch.Tensor], folder: Path) -> None:
    for name in (name for name in experts if name.endswith(".lora_B")):
        name_a = name.removesuffix("lora_B") + "lora_A"
        a = experts[name_a] if name_a in experts else standard[peft_name(name_a)]
        for key, value in zip((name_a, name), _uniform(a, experts[name]), strict=True):
            # Not bit for bit: the mean may have been taken on another device.
            if not torch.allclose(standard[peft_name(key)], value, rtol=1e-4, atol=1e-7):
                raise ConfigError(f"{STANDARD} and {EXPERTS} in {folder} do not belong together: {key} differs.")
