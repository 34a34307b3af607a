"""Telling two base models of one shape apart without reading them whole: a resume on other weights is another run.

A 12B base is 24 GB; its headers and a few hundred bytes from the beginning, the middle and the end of every tensor take
well under a second, and no fine-tune or merge leaves all of those as they were.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Final

import orjson

from configs.errors import ConfigError

SAMPLE_BYTES: Final = 256
_TOKENIZER: Final = "tokenizer.json"


def fingerprint(folder: Path) -> str:
    """64 hexadecimal digits over a checked folder's tensors, by sample, and its tokenizer, whole.

    Raises:
        ConfigError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(folder.glob("*.safetensors")):
            _tensors(path, digest)
        if (folder / _TOKENIZER).is_file():
            digest.update((folder / _TOKENIZER).read_bytes())
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"The base model in {folder} cannot be read ({error}). Download it again.") from error
    return digest.hexdigest()


def _tensors(path: Path, digest: hashlib._Hash) -> None:
    """Add names, shapes and sampled values of one file; where in it they lie does not count."""
    with path.open("rb", buffering=0) as file:
        length = struct.unpack("<Q", file.read(8))[0]
        table = orjson.loads(file.read(length))
        for name in sorted(table):
            if name == "__metadata__":
                continue
            start, stop = table[name]["data_offsets"]
            digest.update(f"{name} {table[name]['dtype']} {table[name]['shape']}".encode())
            for place in (start, (start + stop - SAMPLE_BYTES) // 2, stop - SAMPLE_BYTES):
                file.seek(8 + length + max(start, place))
                digest.update(file.read(min(SAMPLE_BYTES, stop - start)))
