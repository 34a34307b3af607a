"""Hashes of files as `sha256sum -c` reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

SUMS = "SHA256SUMS"
CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def hash_folder(folder: Path) -> dict[str, str]:
    """Relative name -> SHA-256 of every file under `folder`, sorted, the list of sums itself left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_of(path) for name, path in names.items() if name != SUMS}


def sums_text(hashes: Mapping[str, str]) -> str:
    """The coreutils format. A name with a line break or a backslash is escaped as sha256sum does it."""
    lines = []
    for name, digest in sorted(hashes.items()):
        plain = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{chr(92) if plain != name else ''}{digest}  {plain}\n")
    return "".join(lines)
