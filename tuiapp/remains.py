"""What a run has left in its directory for a person, looked up on disk: other programs write it, also later."""

from __future__ import annotations

import os
from dataclasses import dataclass

_REPORTS = ("training_report.pdf", "training_report.html")
_EVALUATIONS = ("evaluation/evaluation.md", "evaluation-quick/evaluation.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """Paths below the run directory; empty where there is no such file."""

    model: str = ""
    """The file of the published model; its folder is the run directory."""
    report: str = ""
    evaluation: str = ""


def look(home: str) -> Remains:
    """What is there at this moment; nothing where `home` is no directory of this machine."""
    return Remains(
        model=_first(home, ("adapter_model.safetensors",)),
        report=_first(home, _REPORTS),
        evaluation=_first(home, _EVALUATIONS),
    )


def _first(home: str, names: tuple[str, ...]) -> str:
    # `os.path`, which answers no where a file system has gone away: the screen asks every second.
    return next((name for name in names if home and os.path.isfile(os.path.join(home, name))), "")
