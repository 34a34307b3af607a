"""What a run needs of the disk it writes to: checkpoints that retention keeps, and a base that must be downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from engine.checkpoint.space import checkpoint_bytes, free_bytes, free_bytes_needed
from states.wording import size


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Bytes needed and free on the disk of a run directory."""

    path: Path
    checkpoint: int
    """One checkpoint."""
    keep: int
    """Checkpoints that stay, besides the best."""
    free: int

    @classmethod
    def of(cls, path: Path, *, trainable: int, keep: int) -> Self:
        """The disk that holds `path`, or will; `trainable` is the number of trained values."""
        return cls(path=path, checkpoint=checkpoint_bytes(trainable), keep=keep, free=free_bytes(path))

    @property
    def needed(self) -> int:
        """For all the checkpoints that are there at once, and the published model."""
        return free_bytes_needed(self.checkpoint, self.keep)

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.free >= self.needed

    def rows(self) -> list[tuple[str, str]]:
        """As a table shows it."""
        short = "" if self.fits else f"; {size(self.needed - self.free)} more are needed, or a lower save_total_limit"
        return [
            ("Checkpoint", f"{size(self.checkpoint)}, {self.keep} kept and the best"),
            ("Room", f"{size(self.needed)} needed, {size(self.free)} free on the disk of {self.path}{short}"),
        ]

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "path": str(self.path),
            "checkpoint_bytes": self.checkpoint,
            "keep": self.keep,
            "needed_bytes": self.needed,
            "free_bytes": self.free,
            "fits": self.fits,
        }
