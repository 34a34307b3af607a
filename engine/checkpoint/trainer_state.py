"""trainer_state.json: the Hugging Face log history for other tools, and under "stint" our exact own state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from engine.checkpoint.errors import CheckpointInvalid
from engine.checkpoint.files import DISK, Files

NAME = "trainer_state.json"

CONSTANTS: dict[str, Any] = {
    "is_hyper_param_search": False,
    "is_local_process_zero": True,
    "is_world_process_zero": True,
    "stateful_callbacks": {},
    "total_flos": 0,
    "trial_name": None,
    "trial_params": None,
}
"""Fields of `transformers.TrainerState` that a run of ours has nothing to say about, at their defaults there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """What `transformers.TrainerState` knows of a run, with our own state beside it.

    `log_history` holds dictionaries with `step` and `epoch` and either `loss`, `learning_rate`, `grad_norm` or
    `eval_loss`. `stint` is any JSON-able dictionary; its floats survive exactly.
    """

    global_step: int
    epoch: float
    max_steps: int
    num_train_epochs: float
    logging_steps: int
    eval_steps: int
    save_steps: int
    train_batch_size: int
    num_input_tokens_seen: int
    best_metric: float | None
    best_global_step: int | None
    best_model_checkpoint: str | None
    log_history: tuple[Mapping[str, Any], ...] = ()
    stint: Mapping[str, Any] = field(default_factory=dict)


def encode(state: TrainerState) -> bytes:
    """Return the JSON text. Raises ValueError or TypeError, naming the place, for what JSON cannot hold."""
    body: dict[str, Any] = {item.name: getattr(state, item.name) for item in fields(state)}
    for item in fields(state):
        if str(item.type).startswith("float") and body[item.name] is not None:
            body[item.name] = float(body[item.name])
    _require_json(body, "trainer state")
    return orjson.dumps({**CONSTANTS, **body}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write_trainer_state(state: TrainerState, path: Path, *, files: Files = DISK) -> None:
    """Write the state to a file that does not exist yet."""
    files.put(path, encode(state))


def read_trainer_state(path: Path) -> TrainerState:
    """Read it back; raises `CheckpointInvalid` for anything that `encode` would not have written."""
    try:
        body = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise CheckpointInvalid(f"The trainer state {path} cannot be read: {error}. Resume from another.") from error
    if not isinstance(body, dict):
        raise CheckpointInvalid(f"The trainer state {path} is not a JSON object. Resume from another checkpoint.")
    wanted = {item.name: str(item.type) for item in fields(TrainerState)}
    for name, kind in wanted.items():
        if name not in body or not _fits(body[name], kind):
            found = type(body[name]).__name__ if name in body else "nothing"
            raise CheckpointInvalid(
                f"The trainer state {path} was not written by this Stint: {name} must be {kind}, and there is {found}. "
                "Resume from another checkpoint."
            )
    values: dict[str, Any] = {name: body[name] for name in wanted}
    values["log_history"] = tuple(values["log_history"])
    return TrainerState(**values)


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return kind.endswith("| None")
    plain = kind.removesuffix(" | None")
    if plain.startswith("tuple"):
        return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    return type(value) is {"int": int, "float": float, "str": str}.get(plain, dict)


def _require_json(value: Any, place: str) -> None:
    """Refuse what orjson would turn into null or into a string key without a word."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place} is {value}, which JSON cannot hold")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}, which is not a string")
            _require_json(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _require_json(item, f"{place}[{index}]")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(f"{place} is a {type(value).__name__}, which JSON cannot hold")
