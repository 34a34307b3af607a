"""A few screens as pictures: whoever changes one looks at it before accepting it (`pytest --snapshot-update`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest

from states.reducer import fold
from states.view import FeedLine, RunView
from tuiapp.frame import Link

FEED = (
    ("phase", "warmup -> main", "info"),
    ("eval", "step 400, subset: loss 1.5388, perplexity 4.66, best so far", "good"),
    ("checkpoint", "checkpoint-408, 1.5 GB in 21 s (schedule)", "good"),
    ("step", "step 417 not taken: loss is not finite (1 in a row)", "warn"),
    ("sink", "wandb switched off, training goes on: no route to host", "bad"),
)


def with_feed(view: RunView) -> RunView:
    """The view with a feed of our own: its wording is tested elsewhere and changes more often than the screen."""
    lines = (
        FeedLine(seq=index, wall=view.wall - 60 * (9 - index), step=400, topic=topic, text=text, tone=tone)
        for index, (topic, text, tone) in enumerate(FEED)
    )
    return replace(view, feed=tuple(lines))


@pytest.mark.parametrize("size", [(80, 24), (160, 45)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_training(
    size: tuple[int, int], snap_compare: Callable[..., bool], tales: ModuleType, stage: ModuleType
) -> None:
    app = stage.cockpit(with_feed(tales.view(tales.LARGE, until=430)))
    assert snap_compare(app, terminal_size=size, run_before=lambda pilot: pilot.pause(0.4))


def test_preparing(snap_compare: Callable[..., bool], tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(with_feed(fold(tales.prefix(tales.LARGE, "task.progressed", nth=8))))
    assert snap_compare(app, terminal_size=(80, 24), run_before=lambda pilot: pilot.pause(0.4))


def test_ended(snap_compare: Callable[..., bool], tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(with_feed(tales.view(tales.DEMO, ended=True)), Link.ENDED)
    assert snap_compare(app, terminal_size=(80, 24), run_before=lambda pilot: pilot.pause(0.4))
