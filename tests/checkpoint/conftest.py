"""A tiny run with checkpoints of three files, and the disk that fails on purpose."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from engine.checkpoint.files import Files, Writer
from engine.checkpoint.manifest import Meta
from engine.checkpoint.store import Saved, save
from states.phases import Cause


def content(step: int, name: str) -> bytes:
    """What a file of a step holds: recognisable, and another for each step."""
    return f"{name} of step {step}\n".encode() * 20


def writers_of(step: int) -> dict[str, Writer]:
    def writer(name: str) -> Writer:
        return lambda path: path.write_bytes(content(step, name)) and None

    names = ("adapter_config.json", "adapter_model.safetensors", "moe_layers.safetensors", "optimizer.safetensors")
    return {name: writer(name) for name in names}


SaveStep = Callable[..., Saved]


@pytest.fixture(scope="session")
def faults() -> ModuleType:
    """The module next door; tests are not packages."""
    spec = importlib.util.spec_from_file_location("checkpoint_faults", Path(__file__).with_name("faults.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def save_step(tmp_path: Path, faults: ModuleType) -> SaveStep:
    """Save a step of the run in `tmp_path / 'run'`."""
    run = tmp_path / "run"
    run.mkdir()

    def save_one(
        step: int,
        *,
        eval_loss: float | None = None,
        cause: Cause = Cause.SCHEDULE,
        flavour: int = 0,
        files: Files | None = None,
    ) -> Saved:
        meta = Meta(run_id="r1", config_hash="c1", eval_loss=eval_loss, versions={"stint": "0.1.0"})
        disk = faults.FaultyFiles() if files is None else files
        return save(run, step, writers_of(step + flavour), cause=cause, meta=meta, files=disk)

    return save_one


@pytest.fixture
def run(tmp_path: Path, save_step: SaveStep) -> Path:
    return tmp_path / "run"
