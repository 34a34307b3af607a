"""The command catalogue: everything a person may ask of a running engine, and how the engine answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Union, get_args


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Write a checkpoint at the next step boundary."""

    name: ClassVar[str] = "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Evaluate on the validation subset at the next step boundary."""

    name: ClassVar[str] = "evaluate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Hold training at the next step boundary; the window goes on."""

    name: ClassVar[str] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpause:
    """Go on training."""

    name: ClassVar[str] = "unpause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Leave training and finalize; with `cooldown_s`, first bring the learning rate down within that many seconds."""

    name: ClassVar[str] = "finish"
    cooldown_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """Stop at once, without evaluation or export. Checkpoints already written stay."""

    name: ClassVar[str] = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Answered by the control thread itself, so that a hung loop can still be diagnosed."""

    name: ClassVar[str] = "status"


Command = Union[Checkpoint, Evaluate, Pause, Unpause, Finish, Abort, Status]  # noqa: UP007

COMMANDS: dict[str, type[Any]] = {cls.name: cls for cls in get_args(Command)}
"""name -> class: the closed set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the engine says to a command id.

    `state` is `accepted` (parsed and queued), then one of `applied`, `rejected`, `expired` (the run ended first).
    """

    id: str
    state: str
    detail: str = ""
    data: dict[str, Any] | None = None
