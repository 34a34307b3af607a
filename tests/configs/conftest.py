"""A working directory with configuration files in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from configs.schema import FILES

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_wandb_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have one set."""
    monkeypatch.delenv("WANDB_MODE", raising=False)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the given sections' files into the working directory and return it.

    Without a `training` text the smallest valid one is written.
    """
    monkeypatch.chdir(tmp_path)

    def files(**texts: str | bytes) -> Path:
        texts.setdefault("training", '{"base_model": "a/b"}')
        for section, text in texts.items():
            (tmp_path / FILES[section]).write_bytes(text if isinstance(text, bytes) else text.encode())
        return Path()

    return files
