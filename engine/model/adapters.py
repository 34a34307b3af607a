"""Putting adapters on a frozen base, and the one handle the rest of the engine holds of the adapted model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from engine.model.compute import Compute
from engine.model.experts import ExpertLinear, ExpertMlp, LoraLinear
from engine.model.router import Router
from engine.model.routing import Routing
from engine.model.shape import blocks
from engine.model.spec import ATTENTION, FFN, AdapterSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedLayer:
    """One decoder layer's adapters by the short name of their linear; `router` is None in plain LoRA mode."""

    index: int
    block: nn.Module
    attention: dict[str, LoraLinear]
    ffn: dict[str, LoraLinear] | dict[str, ExpertLinear]
    router: Router | None

    @property
    def linears(self) -> dict[str, LoraLinear | ExpertLinear]:
        """All adapted linears by their path inside the layer, such as `self_attn.q_proj`."""
        attention = {f"self_attn.{name}": linear for name, linear in self.attention.items()}
        return {**attention, **{f"mlp.{name}": linear for name, linear in self.ffn.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """A base model whose linears were replaced in place by adapted ones."""

    model: PreTrainedModel
    spec: AdapterSpec
    layers: tuple[AdaptedLayer, ...]
    routing: Routing
    compute: Compute = field(default_factory=Compute, compare=False, repr=False)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Everything that is trained, by stable names such as `layers.0.mlp.up_proj.lora_B`; all float32."""
        found: dict[str, nn.Parameter] = {}
        for layer in self.layers:
            for name, linear in layer.linears.items():
                found[f"layers.{layer.index}.{name}.lora_A"] = linear.lora_A
                found[f"layers.{layer.index}.{name}.lora_B"] = linear.lora_B
            if layer.router is not None:
                found[f"layers.{layer.index}.router.weight"] = layer.router.weight
        return found

    def groups(self) -> dict[str, dict[str, nn.Parameter]]:
        """The parameters by how they are optimized: `lora_A`, `lora_B` and `router`."""
        grouped: dict[str, dict[str, nn.Parameter]] = {"lora_A": {}, "lora_B": {}, "router": {}}
        for name, parameter in self.parameters().items():
            kind = name.rsplit(".", 1)[-1]
            grouped[kind if kind in grouped else "router"][name] = parameter
        return {kind: members for kind, members in grouped.items() if members}

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.embeddings.weight.device

    @property
    def embeddings(self) -> nn.Embedding:
        """The base's token embeddings; their dtype is the dtype of the hidden states."""
        return cast("nn.Embedding", self.model.get_input_embeddings())

    @property
    def head(self) -> nn.Linear:
        """The base's output projection, frozen."""
        return cast("nn.Linear", self.model.get_output_embeddings())


def attach(model: PreTrainedModel, spec: AdapterSpec) -> Adapted:
    """Freeze `model` and replace its linears in place.

    A starts at the seed's values, B at zero, routers at zero: a mixture must not train before
    `prototypes.initialise_routers` or `prototypes.normal_routers` has set them, or a checkpoint was read.
    """
    found = blocks(model)
    model.requires_grad_(requires_grad=False)
    model.eval()
    weight = cast("nn.Embedding", model.get_input_embeddings()).weight
    routing = Routing(spec, len(found) if spec.routed else 0, weight.device)
    layers = [_attach_layer(index, block, spec, routing) for index, block in enumerate(found)]
    return Adapted(model=model, spec=spec, layers=tuple(layers), routing=routing)


def _attach_layer(index: int, block: nn.Module, spec: AdapterSpec, routing: Routing) -> AdaptedLayer:
    prefix = f"layers.{index}"
    attention = {
        name: _replace(block.get_submodule("self_attn"), name, spec, f"{prefix}.self_attn") for name in ATTENTION
    }
    mlp = block.get_submodule("mlp")
    if not spec.routed:
        plain = {name: _replace(mlp, name, spec, f"{prefix}.mlp") for name in FFN}
        return AdaptedLayer(index=index, block=block, attention=attention, ffn=plain, router=None)
    first = cast("nn.Linear", mlp.get_submodule("gate_proj"))
    router = Router(first.in_features, index, routing, first.weight.device)
    mixture = ExpertMlp(mlp, router, spec, f"{prefix}.mlp")
    block.mlp = mixture
    experts = {"gate_proj": mixture.gate_proj, "up_proj": mixture.up_proj, "down_proj": mixture.down_proj}
    return AdaptedLayer(index=index, block=block, attention=attention, ffn=experts, router=router)


def _replace(parent: nn.Module, name: str, spec: AdapterSpec, prefix: str) -> LoraLinear:
    adapted = LoraLinear(cast("nn.Linear", parent.get_submodule(name)), spec, f"{prefix}.{name}")
    setattr(parent, name, adapted)
    return adapted
