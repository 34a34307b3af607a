"""The panel of the experts: balance, the worst layer, domains, and alarms with what to do about them."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from tests.tuiapp.written import ALARM, read
from tuiapp.frame import Frame, Link
from tuiapp.widgets import experts


def test_the_experts_panel_names_balance_the_worst_layer_and_the_domains(tales: ModuleType) -> None:
    frame = Frame(view=tales.view(tales.LARGE, until=430), link=Link.LIVE, now=0.0)
    sheet = experts.paint(frame, 80, 9)
    text = read([sheet.title, sheet.caption, *sheet.body])
    for word in ("balanced", "/1.386", "worst layer", "of 40", "E0", "E3", "anxiety", "sleep"):
        assert word in text


def test_an_expert_that_takes_over_is_called_a_collapse(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, until=60)
    assert view.experts is not None
    lost = replace(view, experts=replace(view.experts, shares=(0.55, 0.15, 0.15, 0.15), entropy=1.15))
    assert "collapsed" in read([experts.paint(Frame(view=lost), 50, 5).title])
    uneven = replace(view, experts=replace(view.experts, shares=(0.31, 0.23, 0.23, 0.23), entropy=1.37))
    assert "uneven" in read([experts.paint(Frame(view=uneven), 50, 5).title])


@pytest.mark.parametrize("size", [(60, 6), (60, 19), (36, 7)])
def test_an_alarm_is_shown_with_its_number_and_what_to_do(size: tuple[int, int], tales: ModuleType) -> None:
    view = replace(tales.view(tales.DEMO, until=104), alarms=(ALARM, replace(ALARM, level="warn")))
    sheet = experts.paint(Frame(view=view), *size)
    text = read(sheet.body).replace("\n", " ")
    for words in ("expert 2 takes 4.1% of layer 3 (limit 5%)", "1 more alarm", "start again with"):
        assert words in " ".join(text.split())
    assert len(sheet.body) <= size[1]
    assert "E3" in text, "an alarm must not push out a bar"
    assert "balanced" not in read([sheet.title])


def test_where_only_the_bars_fit_the_title_tells_the_alarm(tales: ModuleType) -> None:
    view = replace(tales.view(tales.DEMO, until=104), alarms=(ALARM,))
    sheet = experts.paint(Frame(view=view), 70, 4)
    assert "expert 2 takes 4.1%" in read([sheet.title])
    assert len(sheet.body) == 4
