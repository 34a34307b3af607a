"""Telling two base models of one shape apart without reading them whole: a resume on other weights is another run.

A 12B base is 24 GB; its headers and a few hundred bytes from the beginning, the middle and the end of every tensor take
well under a second, and no fine-tune or merge leaves all of those as they were.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from configs.errors import ConfigError
from engine.model.headers import INDEX, SINGLE, read_json

SAMPLE_BYTES: Final = 256
_TOKENIZER: Final = "tokenizer.json"


def fingerprint(folder: Path) -> str:
    """64 hexadecimal digits over a checked folder's tensors, by sample, and its tokenizer, whole.

    Raises:
        ConfigError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        # By name over all files: where a tensor lies does not count, nor what no loader reads, as the second copy that
        # Mistral's own repositories hold in consolidated.safetensors.
        tensors = [each for path in _weights(folder) for each in _tensors(path)]
        for _, facts, path, places in sorted(tensors, key=lambda each: each[0]):
            digest.update(facts)
            with path.open("rb", buffering=0) as file:
                for place, length in places:
                    file.seek(place)
                    digest.update(file.read(length))
        if (folder / _TOKENIZER).is_file():
            digest.update((folder / _TOKENIZER).read_bytes())
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"The base model in {folder} cannot be read ({error}). Download it again.") from error
    return digest.hexdigest()


def _weights(folder: Path) -> list[Path]:
    """The files that the base is loaded from."""
    names = {SINGLE} if (folder / SINGLE).is_file() else set()
    if (folder / INDEX).is_file():
        names.update(read_json(folder / INDEX)["weight_map"].values())
    return [folder / name for name in sorted(names)]


def _tensors(path: Path) -> Iterator[tuple[str, bytes, Path, list[tuple[int, int]]]]:
    """Of one file: each tensor's name, its facts, and where in the file its samples lie."""
    with path.open("rb", buffering=0) as file:
        length = struct.unpack("<Q", file.read(8))[0]
        table = orjson.loads(file.read(length))
    for name in table:
        if name == "__metadata__":
            continue
        start, stop = table[name]["data_offsets"]
        facts = f"{name} {table[name]['dtype']} {table[name]['shape']}".encode()
        starts = (start, (start + stop - SAMPLE_BYTES) // 2, stop - SAMPLE_BYTES)
        size = min(SAMPLE_BYTES, stop - start)
        yield name, facts, path, [(8 + length + max(start, place), size) for place in starts]
