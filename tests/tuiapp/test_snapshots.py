"""A few screens as pictures: whoever changes one looks at it before accepting it (`pytest --snapshot-update`)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from states.reducer import fold
from tuiapp.frame import Link


@pytest.mark.parametrize("size", [(80, 24), (160, 45)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_training(
    size: tuple[int, int], snap_compare: Callable[..., bool], tales: ModuleType, stage: ModuleType
) -> None:
    app = stage.cockpit(tales.view(tales.LARGE, until=430))
    assert snap_compare(app, terminal_size=size, run_before=lambda pilot: pilot.pause(0.4))


def test_preparing(snap_compare: Callable[..., bool], tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(fold(tales.prefix(tales.LARGE, "task.progressed", nth=8)))
    assert snap_compare(app, terminal_size=(80, 24), run_before=lambda pilot: pilot.pause(0.4))


def test_ended(snap_compare: Callable[..., bool], tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(tales.view(tales.DEMO, ended=True), Link.ENDED)
    assert snap_compare(app, terminal_size=(80, 24), run_before=lambda pilot: pilot.pause(0.4))
