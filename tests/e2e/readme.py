"""The README's command lines, and what each of them stands for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[2] / "README.md"

Typed = Callable[..., Any]


def readme_commands() -> list[str]:
    """The README's command lines, without their remarks."""
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python run.py")]
    return [re.split(r"\s{2,}#", line)[0].strip() for line in lines]


def words(command: str, **meant: object) -> list[list[str]]:
    """What `command` stands for: without its optional words and with them, once for each of its alternatives.

    `[RUN]` and `RUN` stand for the value of `meant`.
    """
    assert command in readme_commands(), "this line is not in the README"
    typed: list[list[str]] = [[]]
    for part in command.split()[2:]:
        bare = part.strip("[]")
        choices = [re.sub(r"^RUN", str(meant.get("RUN", "RUN")), choice) for choice in bare.split("|")]
        longer = [[*line, choice] for line in typed for choice in choices]
        typed = typed + longer if part.startswith("[") else longer
    return typed
