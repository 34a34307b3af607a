"""What every refusal must be: one paragraph on stderr, the documented exit code, and nothing made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

RUN_PY = Path(__file__).resolve().parents[2] / "run.py"

USAGE, DATA = 2, 3

THERAPY = {"text": "Client: I cannot sleep.\nTherapist: What keeps you awake?"}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below with its time and size: equal twice means that nothing was made, changed or removed."""
    found = (path for path in folder.rglob("*") if not path.is_socket())
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in found}


Refused = Callable[..., str]
