"""The adapters added into the base's own weights, for programs that know no adapters: static gates, full size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import torch
from safetensors.torch import save_file

from engine.model.adapters import Adapted
from engine.model.experts import ExpertLinear
from engine.model.headers import INDEX, SINGLE
from engine.model.static import static_delta

SHARD_BYTES = 5_000_000_000
"""The usual size of a shard, so that no host holds more than that twice."""


@torch.no_grad()
def merge(adapted: Adapted, gates: torch.Tensor | None) -> None:
    """Add every adapter to its weight in place and set its B to zero: the model is then the merged one.

    `gates`: (layers, experts), None for a plain LoRA. Each sum is formed in float32 and rounded once to the base's
    precision, so that merging in bfloat16 costs something: measure it.
    """
    for layer in adapted.layers:
        for linear in layer.linears.values():
            own = gates[layer.index] if gates is not None and isinstance(linear, ExpertLinear) else None
            weight = linear.base.weight
            weight.copy_(weight.float() + static_delta(linear, own))
            linear.lora_B.zero_()


def write_model(
    adapted: Adapted,
    folder: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    progressed: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the base as it now is, without adapters, in the layout of `save_pretrained`: shards and an index."""
    model = adapted.model
    shards = list(_shards(dict(_weights(adapted)), shard_bytes))
    names = [SINGLE] if len(shards) == 1 else [_shard(number, len(shards)) for number in range(len(shards))]
    total = 0
    for number, (name, shard) in enumerate(zip(names, shards, strict=True)):
        progressed(number, len(shards))
        # Cloned: a weight may be a view into one that the fast path laid side by side with others.
        held = {key: value.detach().cpu().clone() for key, value in shard.items()}
        total += sum(value.nbytes for value in held.values())
        save_file(held, folder / name, metadata={"format": "pt"})
    progressed(len(shards), len(shards))
    if len(shards) > 1:
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / INDEX).write_bytes(orjson.dumps(index, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def _weights(adapted: Adapted) -> Iterator[tuple[str, torch.Tensor]]:
    """The base's own parameters and buffers by the names of its class; a tied head is its embedding."""
    tied = bool(getattr(adapted.model.config, "tie_word_embeddings", False))
    trained = {id(parameter) for parameter in adapted.parameters().values()}
    for name, value in adapted.model.state_dict(keep_vars=True).items():
        if id(value) not in trained and not (tied and name == "lm_head.weight"):
            yield name.replace(".base.", "."), value


def _shards(weights: dict[str, torch.Tensor], limit: int) -> Iterator[dict[str, torch.Tensor]]:
    shard: dict[str, torch.Tensor] = {}
    held = 0
    for name, value in weights.items():
        if shard and held + value.nbytes > limit:
            yield shard
            shard, held = {}, 0
        shard[name] = value
        held += value.nbytes
    yield shard


def _shard(number: int, count: int) -> str:
    return f"model-{number + 1:05d}-of-{count:05d}.safetensors"
