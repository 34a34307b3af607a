"""What a run's directory says of its published model. Light: no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from engine.quality.findings import Evaluation, from_json
from engine.quality.folder import JSON as EVALUATION
from engine.release.sums import sha256_of

INFO = "model_info.json"
_WEIGHTS = {"adapter_sha256": "adapter_model.safetensors", "experts_sha256": "moe_layers.safetensors"}
"""What an evaluation says it read, and the file of the model that has it."""


def read_info(folder: Path) -> dict[str, Any]:
    """A model_info.json; empty where there is none or it is no JSON object."""
    try:
        told = orjson.loads((folder / INFO).read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def read_evaluation(folder: Path) -> Evaluation | None:
    """The whole evaluation of a run's published model; None where there is none that can be read.

    One that was made of other weights, such as a checkpoint's before the run went on, says nothing of this model.
    """
    try:
        found = from_json(orjson.loads((folder / "evaluation" / EVALUATION).read_bytes()))
        there = {told: folder / name for told, name in _WEIGHTS.items() if (folder / name).is_file()}
        same = all(found.model.get(told) == sha256_of(path) for told, path in there.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if same else None
