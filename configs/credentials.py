"""Credentials do not belong in files that are copied into run directories, reports and repositories: refuse them.

A refusal names the place and never repeats the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from configs.positions import KeyPath

_SECRET_KEY: Final = re.compile(
    r"(?:^|_)(?:api_?keys?|access_?keys?(?:_id)?|private_?keys?|secrets?|secret_?access_?key|pass(?:word|wd|phrase)"
    r"|credentials?|bearer|token)$"
)
_HARMLESS_TOKEN: Final = re.compile(r"(?:^|_)(?:pad|eos|bos|unk|mask|sep|cls|image|end_of_turn|stop|per)_token$")
_SECRET_VALUE: Final = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bwandb_v\d_[A-Za-z0-9_-]{16,}|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{30,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|://[^/\s:@]+:[^/\s@]+@"
)
_HEX40: Final = re.compile(r"[0-9a-fA-F]{40}")
_COMMIT_KEY: Final = re.compile(r"(?:^|_)(?:commit|sha1?|revision|rev|hash|checksum|digest)(?:_|$)")

REMEDY: Final = (
    "Credentials are not kept in configuration files, which end up in run folders and repositories: remove it here, "
    "set HF_TOKEN or WANDB_API_KEY in the environment (or run `hf auth login`, `wandb login`), "
    "and revoke it if others could read this file."
)


def credentials(data: object, *, path: KeyPath = (), hex_keys: bool = False) -> Iterator[KeyPath]:
    """Paths of the values that are named or shaped like credentials.

    `hex_keys`: also suspect 40 hexadecimal digits, the shape of a W&B key, unless the key says they are a commit.
    """
    stack: list[tuple[KeyPath, object]] = [(path, data)]
    while stack:
        here, value = stack.pop()
        if isinstance(value, dict):
            stack.extend(((*here, str(key)), inner) for key, inner in reversed(value.items()))
        elif isinstance(value, list):
            stack.extend(((*here, index), inner) for index, inner in reversed(list(enumerate(value))))
        elif isinstance(value, str) and value and _suspect(here, value, hex_keys=hex_keys):
            yield here


def _suspect(path: KeyPath, value: str, *, hex_keys: bool) -> bool:
    named = next((step for step in reversed(path) if isinstance(step, str)), "")
    key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s.\-]+", "_", named).lower()
    if _SECRET_KEY.search(key) and not _HARMLESS_TOKEN.search(key):
        return True
    if _SECRET_VALUE.search(value):
        return True
    return hex_keys and _HEX40.fullmatch(value.strip()) is not None and not _COMMIT_KEY.search(key)
