"""How large is the base model? Read from the headers of its weights, or from its name, without loading anything."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import orjson

from engine.plan.throughput import REFERENCE_PARAMS

MAX_HEADER_BYTES = 100_000_000
"""The limit that the safetensors format itself sets."""

_BILLIONS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[bB](?![a-zA-Z])")
"""`Wayfarer-2-12B`, `model-1.5b-instruct`."""


def base_parameters(source: Path | str) -> int:
    """Return the number of values in a base model: counted in a folder, read from a hub id, else 12B is assumed."""
    if isinstance(source, Path):
        counted = sum(_values(path) for path in sorted(source.glob("*.safetensors")))
        if counted:
            return counted
    match = _BILLIONS.search(source.name if isinstance(source, Path) else source)
    billions = float(match.group(1)) if match else 0.0
    return int(billions * 1e9) if billions > 0 else REFERENCE_PARAMS


def _values(path: Path) -> int:
    """Count the values of one safetensors file by its header; 0 where it cannot be read."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > MAX_HEADER_BYTES:
                return 0
            header = orjson.loads(stream.read(length))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (OSError, struct.error, orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return 0
