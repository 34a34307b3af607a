"""Which program and libraries are running: recorded in every checkpoint, for the reader of a difference."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("stint", "torch", "transformers", "peft", "safetensors")


@cache
def versions() -> dict[str, str]:
    """Name -> version; a package that is not installed as a distribution is left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
