"""MANIFEST.json: what a checkpoint is and the hash of every file in it, so that damage is seen instead of trained on.

The text has one canonical form and carries the hash of itself, so a single changed bit anywhere in it is noticed too.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from engine.checkpoint.files import Digest
from states.phases import Cause

MANIFEST = "MANIFEST.json"
FORMAT = 1
MAX_BYTES = 1 << 20
"""No manifest of ours comes near it; a larger file is not one."""

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Plain names only: no folder, no hidden file, nothing a terminal could act on."""

SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestError(ValueError):
    """The text is no intact manifest; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What the trainer tells a checkpoint about itself.

    `eval_loss` is the validation loss of the fixed subset measured at this very step (nats per target token), or None.
    """

    run_id: str
    config_hash: str
    eval_loss: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """Program and libraries that wrote it, for the reader of a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A checkpoint's table of contents. `source` names the checkpoint that published files were taken from."""

    run_id: str
    step: int
    cause: Cause
    created_wall: float
    config_hash: str
    eval_loss: float | None
    versions: Mapping[str, str]
    files: Mapping[str, Digest]
    source: str | None = None

    @property
    def bytes(self) -> int:
        """Size of all listed files."""
        return sum(entry.bytes for entry in self.files.values())


def describe(step: int, cause: Cause, meta: Meta, files: Mapping[str, Digest], *, created_wall: float) -> Manifest:
    """Return the manifest of the files a save has just staged. A loss that is not finite is no loss."""
    loss = meta.eval_loss
    return Manifest(
        run_id=meta.run_id,
        step=step,
        cause=cause,
        created_wall=created_wall,
        config_hash=meta.config_hash,
        eval_loss=float(loss) if loss is not None and math.isfinite(loss) else None,
        versions=meta.versions,
        files=files,
    )


def encode(manifest: Manifest) -> bytes:
    """Return the canonical text."""
    body: dict[str, Any] = {
        "format": FORMAT,
        "run_id": manifest.run_id,
        "step": manifest.step,
        "cause": manifest.cause.value,
        "created_wall": manifest.created_wall,
        "config_hash": manifest.config_hash,
        "eval_loss": manifest.eval_loss,
        "versions": dict(manifest.versions),
        "files": {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name, entry in manifest.files.items()},
        "source": manifest.source,
    }
    body["manifest_sha256"] = hashlib.sha256(_canonical(body)).hexdigest()
    return _canonical(body)


def decode(raw: bytes) -> Manifest:
    """Read a manifest; raises `ManifestError` for anything that `encode` would not have written."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ManifestError("it is not JSON") from error
    if not isinstance(body, dict):
        raise ManifestError("it is not a JSON object")
    if type(body.get("format")) is int and body["format"] > FORMAT:
        raise ManifestError(f"its format {body['format']} is of a newer Stint (this one reads {FORMAT})")
    manifest = _manifest(body)
    if encode(manifest) != raw:
        raise ManifestError("it was changed since it was written: its text does not match its own hash")
    return manifest


def read(path: Path) -> Manifest:
    """Read the manifest file at `path`; raises `ManifestError` or `OSError`."""
    if path.is_symlink() or not path.is_file():
        raise ManifestError("it is missing" if not path.exists() else "it is not a regular file")
    if path.stat().st_size > MAX_BYTES:
        raise ManifestError("it is far too large")
    return decode(path.read_bytes())


def _canonical(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _manifest(body: dict[str, Any]) -> Manifest:
    try:
        if body["format"] != FORMAT:
            raise ManifestError(f"its format {body['format']} is unknown")
        return Manifest(
            run_id=_typed(body["run_id"], str),
            step=_count(body["step"]),
            cause=Cause(body["cause"]),
            created_wall=_typed(body["created_wall"], float),
            config_hash=_typed(body["config_hash"], str),
            eval_loss=None if body["eval_loss"] is None else _typed(body["eval_loss"], float),
            versions={key: _typed(value, str) for key, value in _typed(body["versions"], dict).items()},
            files={_name(name): _entry(entry) for name, entry in _typed(body["files"], dict).items()},
            source=None if body["source"] is None else _name(body["source"]),
        )
    except KeyError as error:
        raise ManifestError(f"it lacks {error.args[0]!r}") from error
    except ValueError as error:
        raise error if isinstance(error, ManifestError) else ManifestError("its cause is unknown") from error


def _typed(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ManifestError(f"a value that must be {kind.__name__} is {type(value).__name__}")
    return value


def _count(value: Any) -> int:
    number: int = _typed(value, int)
    if number < 0:
        raise ManifestError("a count is negative")
    return number


def _name(value: Any) -> str:
    if not isinstance(value, str) or not FILE_NAME.fullmatch(value):
        raise ManifestError("a file name in it is not a plain name")
    return value


def _entry(value: Any) -> Digest:
    entry = _typed(value, dict)
    sha256 = _typed(entry["sha256"], str)
    if not SHA256.fullmatch(sha256):
        raise ManifestError("a hash in it is not a SHA-256")
    return Digest(bytes=_count(entry["bytes"]), sha256=sha256)
