"""The whole screen: every size, every stage, how it is left, and what it leaves behind."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from states.reducer import fold
from states.view import RunView
from tuiapp.dashboard import Dashboard
from tuiapp.frame import Frame, Link
from tuiapp.glyphs import ASCII
from tuiapp.receipt import receipt
from tuiapp.terminal import QUEUE_LIMIT, stalled

SIZES = [(40, 12), (80, 24), (100, 30), (160, 45), (220, 60)]
HOSTILE = "[red]boom[/INST] [@click=app.quit]x[/] \x1b[2J\x07\u202e"


def text_of(dashboard: Dashboard) -> str:
    width, height = dashboard.size
    lines = [[" "] * width for _ in range(height)]
    for panel in dashboard.panels.values():
        if panel.display and panel.size:
            for y in range(panel.size.height):
                row = panel.render_line(y).text
                lines[panel.region.y + y][panel.region.x : panel.region.x + panel.size.width] = row
    return "\n".join("".join(line) for line in lines)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["empty", "init", "demo", "large", "ended"])
async def test_the_dashboard_paints_every_run_in_every_size(
    name: str, size: tuple[int, int], tales: ModuleType, stage: ModuleType
) -> None:
    view = {
        "empty": lambda: RunView(),
        "init": lambda: fold(tales.prefix(tales.LARGE, "task.progressed", nth=7)),
        "demo": lambda: tales.view(tales.DEMO, until=104),
        "large": lambda: tales.view(tales.LARGE, until=430),
        "ended": lambda: tales.view(tales.DEMO, ended=True),
    }[name]()
    link = {"empty": Link.STARTING, "ended": Link.ENDED}.get(name, Link.LIVE)
    app = stage.cockpit(view, link)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        text = text_of(app.dashboard)
        assert "STINT" in text
        assert "detach" in text or "quit" in text
        if name in {"demo", "large"} and size != (40, 12):
            for word in (
                "loss",
                "budget",
                "experts",
                "balanced",
                "checkpoints",
                "slack",
                "at risk" if size[0] < 220 else "if killed",
            ):
                assert word in text, word


async def test_resizing_moves_every_panel_to_its_new_place(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(tales.view(tales.LARGE, until=430))
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause(0.2)
        assert app.dashboard.panels["rate"].display
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.2)
        assert not app.dashboard.panels["rate"].display
        assert app.dashboard.panels["pace"].display
        await pilot.resize_terminal(50, 14)
        await pilot.pause(0.2)
        assert app.dashboard.panels["gist"].display
        assert "406" in text_of(app.dashboard) or "430" in text_of(app.dashboard)


async def test_hostile_text_is_shown_and_does_nothing(tales: ModuleType, stage: ModuleType) -> None:
    view = tales.view(tales.DEMO, until=60)
    assert view.model is not None
    line = replace(view.feed[-1], text=HOSTILE, topic="eval")
    view = replace(view, feed=(*view.feed, line), identity=replace(view.identity, run_id=HOSTILE))
    app = stage.cockpit(view)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause(0.3)
        text = text_of(app.dashboard)
        assert "[red]boom[/INST]" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        await pilot.click("#feed", offset=(20, 8))
        assert app.is_running


async def test_a_console_without_unicode_is_served_in_ascii(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(tales.view(tales.LARGE, until=430), glyphs=ASCII)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.3)
        assert text_of(app.dashboard).isascii()


async def test_without_colour_everything_is_still_there(
    tales: ModuleType, stage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = stage.cockpit(tales.view(tales.LARGE, until=430))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)
        assert app.no_color
        assert "\u25cf MAIN" in text_of(app.dashboard)
        await pilot.press("x")
        await pilot.pause(0.2)
        shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "\u25b6 Finish gracefully" in shown


async def test_a_panel_that_reads_as_before_is_not_sent_again(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(tales.view(tales.LARGE, until=430))
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.pause(0.3)
        panel = app.dashboard.panels["loss"]
        rows = panel._rows
        app.paint()
        assert panel._rows is rows


@pytest.mark.parametrize(
    ("link", "code"),
    [(Link.LIVE, 0), (Link.STARTING, 0), (Link.LOST, 1), (Link.FAILED, 1)],
    ids=lambda value: str(value),
)
async def test_leaving_returns_what_became_of_the_run(
    link: Link, code: int, tales: ModuleType, stage: ModuleType
) -> None:
    app = stage.cockpit(tales.view(tales.DEMO, until=60), link)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("q")
        await pilot.pause(0.1)
    assert app.return_value == code
    assert app.return_code == code
    assert app._source.closed


@pytest.mark.parametrize("code", [0, 1, 75, 130])
async def test_after_the_end_the_screen_stays_and_leaves_with_the_runs_code(
    code: int, tales: ModuleType, stage: ModuleType
) -> None:
    view = tales.view(tales.DEMO, ended=True)
    assert view.ending is not None
    view = replace(view, ending=replace(view.ending, exit_code=code))
    app = stage.cockpit(view, Link.ENDED)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.4)
        assert app.is_running
        assert "best loss" in text_of(app.dashboard)
        await pilot.press("q")
        await pilot.pause(0.1)
    assert app.return_value == code


def test_the_receipt_says_how_to_come_back(tales: ModuleType) -> None:
    view = tales.view(tales.LARGE, until=430)
    frame = Frame(view=view, link=Link.LIVE, now=view.wall, home="/runs/a")
    lines = receipt(frame, "python run.py attach /runs/a")
    text = "\n".join(lines)
    for word in (
        "wayfarer-7b02",
        "Training goes on",
        "step 430 of 675",
        "loss",
        "attach again: python run.py attach /runs/a",
        "checkpoint-408",
    ):
        assert word in text
    assert len(lines) <= 7


@pytest.mark.parametrize(
    ("link", "words"),
    [(Link.LOST, "without a last record"), (Link.FAILED, "never came up"), (Link.STARTING, "it goes on")],
)
def test_the_receipt_tells_bad_news_too(link: Link, words: str, tales: ModuleType) -> None:
    frame = Frame(view=tales.view(tales.DEMO, until=60), link=link, trouble="last words", now=0.0)
    text = "\n".join(receipt(frame, "attach"))
    assert words in text
    assert ("attach again" in text) == (link is Link.STARTING)


async def test_no_frame_is_painted_while_the_terminal_does_not_read(
    tales: ModuleType, stage: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Queue:
        size = QUEUE_LIMIT + 1

        def qsize(self) -> int:
            return self.size

    class Writer:
        _queue = Queue()

    app = stage.cockpit(tales.view(tales.DEMO, until=60))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        assert not stalled(app)
        monkeypatch.setattr(app._driver, "_writer_thread", Writer(), raising=False)
        assert stalled(app)
        shown: list[Frame] = []
        monkeypatch.setattr(app.dashboard, "show", shown.append)
        app.paint()
        assert shown == []
        Queue.size = 0
        app.paint()
        assert len(shown) == 1


def test_textual_still_has_the_queue_the_guard_looks_at() -> None:
    from textual.drivers._writer_thread import WriterThread

    with open("/dev/null", "w") as sink:
        assert WriterThread(sink)._queue.qsize() == 0
