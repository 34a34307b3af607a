"""Two synthetic runs, told event by event as an engine would, and a cockpit that shows them without one."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    """A helper beside this file: with importlib import mode the tests are no package to import it from."""
    spec = importlib.util.spec_from_file_location(f"tuiapp_tests_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


JOURNEYS, STAGEHAND = _load("journeys"), _load("stagehand")


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    """Clocks on the screen are of one time zone, whatever the machine's."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def tales() -> ModuleType:
    """Tells synthetic runs."""
    return JOURNEYS


@pytest.fixture
def stage() -> ModuleType:
    """Builds cockpits without an engine."""
    return STAGEHAND
