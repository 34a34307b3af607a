"""What an engine process is told: all that a start has settled. It travels to a spawned engine as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from configs.identity import from_resolved, resolved
from configs.schema import Config
from engine.training.window import Window

LAUNCH_FILE = "launch.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of one run."""

    config: Config
    directory: Path
    window: Window
    resume: str | None = None
    """`auto`, or the path of a checkpoint; None starts from the beginning."""
    manual: bool = False
    said: tuple[str, ...] = ()
    """Sentences for the person: what was decided."""

    def to_json(self) -> bytes:
        """The form a spawned engine reads."""
        return orjson.dumps(
            {
                "config": resolved(self.config),
                "directory": str(self.directory),
                "window": self.window,
                "resume": self.resume,
                "manual": self.manual,
                "said": self.said,
            },
            option=orjson.OPT_INDENT_2,
        )

    @classmethod
    def read(cls, path: Path) -> Launch:
        """Inverse of `to_json`."""
        data: dict[str, Any] = orjson.loads(path.read_bytes())
        return cls(
            config=from_resolved(data["config"]),
            directory=Path(data["directory"]),
            window=Window(**data["window"]),
            resume=data["resume"],
            manual=data["manual"],
            said=tuple(data["said"]),
        )
