"""Reading the table of contents of safetensors files without loading them: which tensors a folder really holds."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import orjson

from configs.errors import ConfigError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_HEADER_LIMIT = 100_000_000
"""The format's own limit for a header, in bytes."""
_JSON_LIMIT = 64_000_000
"""No index comes near this; a larger file is not one."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder.

    Raises:
        ConfigError: it is not there, too large, or not one JSON object.
    """
    try:
        if path.stat().st_size > _JSON_LIMIT:
            raise ConfigError(f"{path} is larger than {_JSON_LIMIT // 1_000_000} MB: it cannot be what its name says.")
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not valid JSON ({error.msg}).") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold one JSON object.")
    return value


def tensor_names(folder: Path) -> frozenset[str]:
    """All tensors of a model folder, from one file or from an index and its shards.

    Raises:
        ConfigError: no safetensors, a shard that is missing or cut short, or a tensor the index promises and no shard
            has; the message names it.
    """
    if (folder / INDEX).is_file():
        return _indexed(folder)
    if (folder / SINGLE).is_file():
        return frozenset(header(folder / SINGLE))
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    what = f"only {pickled[0]}, which can run code when it is read" if pickled else "no weights"
    raise ConfigError(
        f"{folder} has {what}. Stint reads safetensors only: a {SINGLE}, or {INDEX} with its shards. "
        "Save the model with save_pretrained, or download a revision that has them."
    )


def header(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes of one safetensors file; its size must be what the header says.

    Raises:
        ConfigError: the file is missing, cut short or not safetensors.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _HEADER_LIMIT
            if length >= min(size, _HEADER_LIMIT):
                raise ConfigError(f"{path} is not a whole safetensors file; download it again.")
            table = orjson.loads(file.read(length))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Download it again.") from error
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not a safetensors file: its header is not JSON. Download it again.") from error
    try:
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(f"{path} is not a safetensors file: its header is malformed. Download it again.") from error
    if size != 8 + length + end:
        raise ConfigError(f"{path} has {size} bytes, its header promises {8 + length + end}. Download it again.")
    return shapes


def _indexed(folder: Path) -> frozenset[str]:
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ConfigError(f"{folder / INDEX} has no weight_map.")
    held: dict[str, frozenset[str]] = {}
    for name, shard in sorted(weight_map.items()):
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise ConfigError(f"{folder / INDEX} places {name} in {shard!r}, which is not a file of this folder.")
        if shard not in held:
            if not (folder / shard).is_file():
                raise ConfigError(f"{folder} lacks {shard}, which its index names. Download it again.")
            held[shard] = frozenset(header(folder / shard))
        if name not in held[shard]:
            raise ConfigError(f"{folder / shard} lacks the tensor {name}, which the index promises. Download it again.")
    return frozenset(weight_map)
