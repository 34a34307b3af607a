from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Region

from tuiapp.dashboard import BARE, FRAMED
from tuiapp.frame import Stage
from tuiapp.layout import Size, places, size_class


@given(st.integers(12, 300), st.integers(6, 120), st.sampled_from(Stage), st.booleans())
def test_no_two_panels_overlap_and_none_leaves_the_screen(width: int, height: int, stage: Stage, replay: bool) -> None:
    regions = places(width, height, stage, replay=replay).regions
    screen = Region(0, 0, width, height)
    assert set(regions) <= FRAMED.keys() | BARE.keys()
    for region in regions.values():
        assert region.width >= 0
        assert region.height >= 0
        assert not region.area or region in screen
    for a, b in combinations([region for region in regions.values() if region.area], 2):
        assert not a.overlaps(b)


@given(st.integers(60, 300), st.integers(16, 120), st.sampled_from(Stage), st.booleans())
def test_no_row_of_a_normal_screen_is_left_over(width: int, height: int, stage: Stage, replay: bool) -> None:
    regions = places(width, height, stage, replay=replay).regions
    assert sum(region.area for region in regions.values()) == width * height


def test_the_size_classes_are_those_of_the_help() -> None:
    assert [size_class(*size) for size in ((40, 12), (80, 24), (100, 30), (160, 45))] == list(Size)


def test_the_small_standard_screen_shows_everything_that_matters() -> None:
    regions = places(80, 24, Stage.TRAIN, replay=False).regions
    wanted = {
        "masthead",
        "ribbon",
        "loss",
        "budget",
        "hardware",
        "pace",
        "experts",
        "checkpoints",
        "feed",
        "controls",
        "keybar",
    }
    assert wanted <= {name for name, region in regions.items() if region.area}
