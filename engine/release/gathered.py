"""What a run's directory says of its published model. Light: no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from engine.quality.findings import Evaluation, from_json
from engine.quality.folder import JSON as EVALUATION

INFO = "model_info.json"


def read_info(folder: Path) -> dict[str, Any]:
    """A model_info.json; empty where there is none or it is no JSON object."""
    try:
        told = orjson.loads((folder / INFO).read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def read_evaluation(folder: Path) -> Evaluation | None:
    """The whole evaluation of a run's published model; None where there is none that can be read."""
    try:
        return from_json(orjson.loads((folder / "evaluation" / EVALUATION).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
