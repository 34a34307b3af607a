"""Speeds of earlier runs on this machine, so that the next plan starts from a fact. Optional: losing it costs nothing.

The file holds numbers and names of devices only, in $XDG_STATE_HOME/stint/throughput.json. Whatever is wrong with it,
a run goes on as if it were not there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from engine.run.rundir import write_json
from states.text import one_line

FORMAT = 1
MOST = 64
"""Entries kept; the oldest go first."""
MAX_BYTES = 1 << 20


def history_path() -> Path:
    """Return the file, per the XDG base directory specification: a relative or empty variable counts as unset."""
    stated = os.environ.get("XDG_STATE_HOME", "")
    home = Path(stated) if stated.startswith("/") else Path.home() / ".local" / "state"
    return home / "stint" / "throughput.json"


def history_key(
    *, device: str, base_params: int, dtype: str, threads: int, max_length: int, bin_tokens: int, checkpointing: bool
) -> str:
    """Return the name under which a speed is kept: two runs with the same one do the same work per token."""
    recompute = "recompute" if checkpointing else "keep"
    place = one_line(device, 80) if device.lower() != "cpu" else f"cpu x{threads}"
    return f"{place} | {base_params} | {dtype} | {max_length} | {bin_tokens} | {recompute}"


def recall(key: str, path: Path | None = None) -> float | None:
    """Return the tokens a second remembered under `key`, or None."""
    return recalled(key, path).get("tokens_per_s")


def recalled(key: str, path: Path | None = None) -> dict[str, float]:
    """Return all that is remembered under `key`, empty for nothing: `tokens_per_s`, and what `remember` added."""
    entry = _entries(path or history_path()).get(key, {})
    return {name: value for name, value in entry.items() if name != "wall" and _positive(value)}


def remember(
    key: str, tokens_per_s: float, *, wall: float, path: Path | None = None, more: Mapping[str, float] | None = None
) -> bool:
    """Keep a measured speed, and `more` beside what is known already; returns whether that worked."""
    target = path or history_path()
    known = _entries(target)
    entry = {**known.get(key, {}), **(more or {}), "tokens_per_s": float(tokens_per_s), "wall": float(wall)}
    newest = sorted({**known, key: entry}.items(), key=lambda item: item[1]["wall"])[-MOST:]
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(target, {"format": FORMAT, "entries": dict(newest)})
    except OSError:
        return False
    return True


def _entries(path: Path) -> dict[str, dict[str, float]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("entries"), dict):
        return {}
    return {key: entry for key, entry in content["entries"].items() if _sound(entry)}


def _sound(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    return _positive(entry.get("tokens_per_s")) and isinstance(entry.get("wall"), float)


def _positive(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < float("inf")
