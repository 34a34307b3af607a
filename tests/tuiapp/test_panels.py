"""Every painter with every kind of view in every size: no exception, exact widths, nothing that acts on a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from states import events as e
from states.phases import Outcome, Phase
from states.reducer import fold
from states.view import Failure, RunView
from tests.tuiapp.written import ALARM, read
from tuiapp import ink
from tuiapp.dashboard import BARE, FRAMED
from tuiapp.frame import Frame, Link, Playhead
from tuiapp.glyphs import ASCII, UNICODE
from tuiapp.receipt import receipt
from tuiapp.remains import Remains, look
from tuiapp.widgets import budget, checkpoints, feed, hardware, keybar, loss, masthead, ribbon, task
from tuiapp.widgets import ending as ending_panel
from tuiapp.widgets.panel import boxed, ruled

SIZES = [(1, 1), (6, 2), (25, 3), (40, 12), (52, 9), (76, 22), (101, 19), (156, 40)]

HOSTILE = "[red]\x1b]0;pwned\x07\x1b[2J[/INST] [@click=app.quit]x[/] \u202egnp\u200b\ud800"

PAINTERS = {**FRAMED, **BARE}


def views(tales: ModuleType) -> dict[str, RunView]:
    return {
        "empty": RunView(),
        "setup": fold(tales.prefix(tales.DEMO, "task.started")),
        "init": fold(tales.prefix(tales.LARGE, "task.progressed", nth=7)),
        "warmup": tales.view(tales.LARGE, until=3),
        "demo": tales.view(tales.DEMO, until=104),
        "large": tales.view(tales.LARGE, until=430),
        "ended": tales.view(tales.DEMO, ended=True),
        "hostile": hostile(tales.view(tales.DEMO, until=60)),
    }


def hostile(view: RunView) -> RunView:
    """A view no reducer would make: text that never went through the cleaning of events."""
    assert view.experts is not None
    assert view.model is not None
    return replace(
        view,
        identity=replace(view.identity, run_id=HOSTILE, host=HOSTILE),
        model=replace(view.model, base_model=HOSTILE),
        feed=(*view.feed, replace(view.feed[-1], text=HOSTILE, topic=HOSTILE)),
        experts=replace(view.experts, sample=replace(view.experts.sample, domains={HOSTILE: (1, 1, 1, 1)})),
        alarms=(replace(ALARM, remedy=HOSTILE),),
        failure=e_failure(),
    )


def e_failure() -> object:
    failed = e.RunFailed(error_type=HOSTILE, message=HOSTILE, traceback="", phase=Phase.MAIN, step=1, remedy=HOSTILE)
    record = e.Record(seq=0, wall=1.0, mono=1.0, event=failed)
    return fold([record]).failure


@pytest.mark.parametrize("name", sorted(PAINTERS))
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_a_painter_survives_every_view_in_every_size(name: str, glyphs: object, tales: ModuleType) -> None:
    for view in views(tales).values():
        for link, head in (
            (Link.LIVE, None),
            (Link.LOST, None),
            (Link.STARTING, None),
            (Link.REPLAY, Playhead(length_s=9.0, marks=((3.0, "eval"),))),
        ):
            frame = Frame(
                view=view, link=link, now=view.wall + 1, started=view.wall, glyphs=glyphs, playhead=head, home="/runs/x"
            )
            for width, height in SIZES:
                sheet = PAINTERS[name](frame, width, height)
                rows = [*sheet.body, sheet.title, sheet.caption]
                assert len(sheet.body) <= max(height, 1), (name, width, height)
                text = read(rows)
                assert not ink.HOSTILE.search(text.replace("\n", ""))
                if glyphs is ASCII and view.identity.run_id.isascii():
                    assert text.isascii(), text
                for framed in (boxed(sheet, width, height, frame.glyphs), ruled(sheet, width, height, frame.glyphs)):
                    assert {ink.cells(row) for row in framed} <= {width} or width < 6


@pytest.mark.parametrize("size", [(75, 18), (52, 10), (98, 19)])
def test_what_a_panel_writes_fits_where_people_look(size: tuple[int, int], tales: ModuleType) -> None:
    width, height = size
    for name, view in views(tales).items():
        frame = Frame(view=view, link=Link.LIVE, now=view.wall + 1, started=view.wall)
        for panel in ("loss", "budget", "rate", "norm", "speed", "experts", "checkpoints", "feed", "task", "facts"):
            for row in PAINTERS[panel](frame, width, height).body:
                assert ink.cells(row) <= width, (name, panel, read([row]))


def test_the_budget_says_used_left_finish_slack_and_reserve(tales: ModuleType) -> None:
    view = tales.view(tales.LARGE, until=430)
    frame = Frame(view=view, link=Link.LIVE, now=view.wall)
    for width in (25, 40, 56):
        text = read(budget.paint(frame, width, 4).body)
        for word in ("used", "left", "finish", "slack", "until", "30m"):
            assert word in text, (width, text)


def test_a_run_that_will_not_make_it_says_so_in_words(tales: ModuleType) -> None:
    view = tales.view(tales.LARGE, until=100)
    late = replace(view, window=replace(view.window, deadline_wall=view.wall + 3600))
    sheet = budget.paint(Frame(view=late, link=Link.LIVE, now=view.wall), 56, 12)
    assert "over" in read([sheet.title])
    assert "slack -" in read(sheet.body)


def test_the_checkpoint_panel_says_what_a_kill_would_cost(tales: ModuleType) -> None:
    view = tales.view(tales.LARGE, until=360)
    text = read(checkpoints.paint(Frame(view=view, link=Link.LIVE, now=view.wall), 50, 5).body)
    assert "if killed now: lose 20 steps 18m" in text
    assert "@340" in text
    assert "next " in text


def test_the_machine_panel_shows_the_card_or_the_host(tales: ModuleType) -> None:
    large, demo = tales.view(tales.LARGE, until=20), tales.view(tales.DEMO, until=20)
    card = hardware.paint(Frame(view=large), 50, 5)
    assert "H100" in read([card.title])
    assert "61.2/79.6 GiB" in read(card.body)
    host = hardware.paint(Frame(view=demo), 50, 5)
    assert "cpu" in read(host.body)
    assert "812 GB free" in read(host.body)


def test_several_cards_have_a_line_each(tales: ModuleType) -> None:
    view = tales.view(tales.LARGE, until=20)
    two = replace(view, gpus=(view.gpus[0], replace(view.gpus[0], index=1)))
    text = read(hardware.paint(Frame(view=two), 50, 5).body)
    assert "gpu0" in text
    assert "gpu1" in text


def test_the_ribbon_marks_done_current_and_coming_without_colour(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, until=60)
    text = read(ribbon.paint(Frame(view=view, link=Link.LIVE, now=view.wall), 80, 1).body)
    assert "\u2713 WARMUP" in text
    assert "\u25cf MAIN" in text
    assert "\u25cb FINALIZE" in text
    assert "step 60/150 40%" in text


@pytest.mark.parametrize(
    ("link", "word"),
    [
        (Link.LIVE, "LIVE"),
        (Link.LOST, "LOST"),
        (Link.ENDED, "ENDED"),
        (Link.STARTING, "STARTING"),
        (Link.FAILED, "NOT STARTED"),
    ],
)
def test_the_badge_says_how_the_cockpit_stands_to_the_run(link: Link, word: str, tales: ModuleType) -> None:
    view = replace(tales.view(tales.DEMO, until=60), paused=True, paused_since=0.0)
    text = read(masthead.paint(Frame(view=view, link=link, now=130.0, frozen=True, behind=7), 120, 1).body)
    assert word in text
    assert "VIEW FROZEN +7" in text
    assert ("PAUSED 2m" in text) == (link is not Link.LOST)


def test_setup_shows_what_is_being_done_and_how_far_it_is(tales: ModuleType) -> None:
    view = fold(tales.prefix(tales.LARGE, "task.progressed", nth=2))
    assert view.task is not None
    frame = Frame(view=view, link=Link.LIVE, now=view.wall + 5)
    text = read(task.paint(frame, 70, 20).body)
    assert "read dataset" in text
    assert "1,064/2,129" in text
    assert "50%" in text
    assert "finalize" in text


def test_before_the_first_record_the_screen_says_what_it_waits_for() -> None:
    sheet = task.paint(Frame(link=Link.STARTING, now=103.0, started=100.0), 60, 12)
    assert "starting engine" in read(sheet.body)
    assert "3s" in read(sheet.body)


def test_the_feed_fills_from_below_and_marks_tones(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, ended=True)
    wide = read(feed.paint(Frame(view=view), 100, 3).body)
    assert wide.count("\n") == 2
    assert "\u2713 stop" in wide


def test_an_ending_gives_outcome_numbers_and_the_place_of_the_model(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, ended=True)
    text = read(ending_panel.paint(Frame(view=view, link=Link.ENDED, now=view.wall, home="/runs/a"), 50, 16).body)
    for word in ("finished", "best loss", "/runs/a", "150"):
        assert word in text


REMAINS = Remains(
    model="adapter_model.safetensors", report="training_report.pdf", evaluation="evaluation/evaluation.md"
)


@pytest.mark.parametrize(("width", "height"), [(25, 10), (50, 16), (52, 24), (25, 8)])
def test_an_ending_names_model_report_and_evaluation_at_any_size(tales: ModuleType, width: int, height: int) -> None:
    frame = Frame(
        view=tales.view(tales.DEMO, ended=True),
        link=Link.ENDED,
        home="/home/someone/runs/spring/counsel",
        remains=REMAINS,
    )
    sheet = ending_panel.paint(frame, width, height)
    assert len(sheet.body) <= height
    assert max(ink.cells(row) for row in sheet.body) <= width
    text = read(sheet.body)
    for word in ("finished", "counsel", "training_report.pdf", "evaluation/evaluation.md", "q leaves"):
        assert word in text
    assert "exit 0" in read([sheet.caption])
    assert "  in it: training_report.pdf, evaluation/evaluation.md" in receipt(frame, "attach")
    missing = replace(frame, remains=replace(REMAINS, evaluation=""))
    assert "evaluation none yet" in read(ending_panel.paint(missing, width, height).body)


def test_a_file_system_that_went_away_leaves_nothing_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("os.stat", gone)
    assert look(str(tmp_path)) == Remains()


def test_a_failed_run_names_its_report_below_the_failure(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, ended=True)
    assert view.ending is not None
    view = replace(
        view,
        ending=replace(view.ending, outcome=Outcome.FAILED, exit_code=1),
        failure=Failure(
            error_type="OSError", message="a long story " * 30, traceback="", phase=Phase.MAIN, step=5, remedy="Do."
        ),
    )
    text = read(ending_panel.paint(Frame(view=view, link=Link.ENDED, remains=REMAINS), 25, 10).body)
    for word in ("failed", "OSError", "training_report.pdf"):
        assert word in text


def test_what_a_run_left_is_looked_up_in_its_directory(tmp_path: Path) -> None:
    assert look("") == look(str(tmp_path)) == Remains()
    for name in (REMAINS.model, REMAINS.report, "evaluation-quick/evaluation.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert look(str(tmp_path)) == replace(REMAINS, evaluation="evaluation-quick/evaluation.md")


def test_a_failed_start_shows_the_engines_last_words() -> None:
    frame = Frame(link=Link.FAILED, trouble="Traceback\nImportError: no module named torch", now=5.0)
    text = read(ending_panel.paint(frame, 50, 12).body)
    assert "ImportError: no module named torch" in text


def test_a_narrow_key_bar_keeps_the_way_out_and_the_way_to_stop(tales: ModuleType) -> None:
    frame = Frame(view=tales.view(tales.DEMO, until=60), link=Link.LIVE)
    for width in (40, 50, 60, 80):
        sheet = keybar.paint(frame, width, 1)
        assert ink.cells(sheet.body[0]) <= width
        assert "detach" in read(sheet.body)
        assert "stop" in read(sheet.body)


def test_an_engine_that_holds_its_lock_and_says_nothing_is_called_silent(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, until=60)

    def badge(late_s: float) -> str:
        return read(masthead.paint(Frame(view=view, link=Link.LIVE, now=view.wall + late_s), 120, 1).body)

    assert "silent" not in badge(5.0)
    assert "LIVE silent 1m" in badge(70.0)


def test_what_does_not_work_as_it_should_stands_in_the_first_line(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, until=60)
    view = replace(view, disabled_sinks=("wandb",), progress=replace(view.progress, rejected_steps=2))
    text = read(masthead.paint(Frame(view=view, link=Link.LIVE, now=view.wall), 120, 1).body)
    assert "\u25b2 wandb off" in text
    assert "\u25b2 2 steps rejected" in text


def test_the_loss_panel_counts_the_evaluations_without_gain(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, until=60)
    view = replace(view, evals_since_best=2, config={**view.config, "safety": {"early_stopping_patience": 3}})
    assert "no gain 2/3" in read([loss.paint(Frame(view=view), 98, 12).caption])
