"""The table of keys, and that every key does what it says, and only when it may."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from states.commands import Abort, Checkpoint, Command, Evaluate, Finish, Pause, Unpause
from states.phases import Phase
from states.reducer import fold
from states.view import RunView
from tuiapp import keys
from tuiapp.dialogs import HelpScreen, PauseDialog, StopMenu, help_text, minutes_typed, stop_choices
from tuiapp.frame import Frame, Link, Playhead
from tuiapp.live import LiveCockpit
from tuiapp.playback import ReplayCockpit

SIZE = (80, 24)


def main_view(tales: ModuleType, **changes: object) -> RunView:
    return replace(tales.view(tales.DEMO, until=60), **changes)


def test_every_key_has_an_id_a_label_and_a_sentence_and_no_two_share_a_key() -> None:
    for replaying in (False, True):
        table = keys.of_mode(replay=replaying)
        names = [name for key in table for name in key.keys.split(",")]
        assert len(names) == len(set(names))
        assert all(key.label and key.tooltip.endswith(".") and key.group in keys.GROUPS for key in table)
        app = ReplayCockpit if replaying else LiveCockpit
        assert {key.id for key in table} == {binding.action for binding in keys.bindings(replay=replaying)}
        assert all(hasattr(app, f"action_{key.id}") for key in table)


def test_the_help_page_tells_of_every_key(tales: ModuleType) -> None:
    text = help_text(Frame(view=main_view(tales)), 80).plain
    for key in keys.of_mode(replay=False):
        assert f" {key.show}  " in text


@pytest.mark.parametrize(("key", "command"), [("k", Checkpoint()), ("e", Evaluate())])
async def test_a_training_key_sends_its_command(
    key: str, command: Command, tales: ModuleType, stage: ModuleType
) -> None:
    sender = stage.NotingSender()
    app = stage.cockpit(main_view(tales), sender=sender)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press(key)
        await pilot.pause(0.3)
        assert sender.sent == [command]
        (request,) = app.frame().requests
        assert request.state == "applied"
        assert request.accepted


async def test_pausing_asks_first_and_says_what_it_costs(tales: ModuleType, stage: ModuleType) -> None:
    sender = stage.NotingSender()
    app = stage.cockpit(main_view(tales), sender=sender)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("P")
        await pilot.pause(0.1)
        assert isinstance(app.screen, PauseDialog)
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert sender.sent == []
        await pilot.press("P", "enter")
        await pilot.pause(0.2)
        assert sender.sent == [Pause()]


async def test_a_paused_run_goes_on_without_a_question(tales: ModuleType, stage: ModuleType) -> None:
    sender = stage.NotingSender()
    app = stage.cockpit(main_view(tales, paused=True, paused_since=1.0), sender=sender)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("P")
        await pilot.pause(0.2)
        assert sender.sent == [Unpause()]


async def test_the_stop_menu_offers_the_gentle_end_first(tales: ModuleType, stage: ModuleType) -> None:
    sender = stage.NotingSender()
    app = stage.cockpit(main_view(tales), sender=sender)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("x")
        await pilot.pause(0.1)
        assert isinstance(app.screen, StopMenu)
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert sender.sent == []
        await pilot.press("x", "enter")
        await pilot.pause(0.2)
        assert sender.sent == [Finish()]


async def test_a_cool_down_takes_minutes(tales: ModuleType, stage: ModuleType) -> None:
    sender = stage.NotingSender()
    app = stage.cockpit(main_view(tales), sender=sender)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("x", "down", "enter")
        await pilot.pause(0.1)
        await pilot.press("backspace", "x", "enter")
        await pilot.pause(0.1)
        assert sender.sent == []
        await pilot.press("backspace", "1", "5", "enter")
        await pilot.pause(0.2)
        assert sender.sent == [Finish(cooldown_s=900.0)]


async def test_aborting_must_be_typed_out(tales: ModuleType, stage: ModuleType) -> None:
    sender = stage.NotingSender()
    app = stage.cockpit(main_view(tales), sender=sender)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("x", "down", "down", "enter")
        await pilot.pause(0.1)
        await pilot.press("y", "e", "s", "enter")
        await pilot.pause(0.1)
        assert sender.sent == []
        assert isinstance(app.screen, StopMenu)
        await pilot.press("backspace", "backspace", "backspace", *"abort", "enter")
        await pilot.pause(0.2)
        assert sender.sent == [Abort()]


def test_the_stop_menu_fits_the_phase(tales: ModuleType) -> None:
    main = main_view(tales)
    offered = {phase: [choice.id for choice in stop_choices(Frame(view=replace(main, phase=phase)))] for phase in Phase}
    assert offered[Phase.MAIN] == offered[Phase.WARMUP] == ["finish", "cooldown", "abort", "cancel"]
    assert offered[Phase.SETUP] == offered[Phase.INIT] == ["abort", "cancel"]
    assert offered[Phase.FINALIZE][0] == "finish"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15", 900), ("15m", 900), ("1.5h", 5400), ("90s", 90), ("", None), ("-3", None), ("99h", None), ("nan", None)],
)
def test_minutes_may_be_typed_with_a_unit(text: str, seconds: float | None) -> None:
    assert minutes_typed(text) == seconds


async def test_freezing_holds_the_picture_while_records_arrive(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(tales.view(tales.DEMO, until=60))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("space")
        app._source.tell(tales.view(tales.DEMO, until=70))
        await pilot.pause(0.2)
        frame = app.frame()
        assert frame.frozen
        assert frame.view.progress.step == 60
        assert frame.behind > 0
        await pilot.press("space")
        assert app.frame().view.progress.step == 70


async def test_charts_run_over_time_on_demand(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(main_view(tales))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("t")
        assert app.frame().by_time


async def test_ctrl_c_only_says_how_to_leave(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(main_view(tales))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("ctrl+c")
        await pilot.pause(0.1)
        assert app.is_running
        assert "q detaches" in app.frame().hint


async def test_help_opens_and_closes(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(main_view(tales))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("question_mark")
        await pilot.pause(0.1)
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("q")
        await pilot.pause(0.1)
        assert not isinstance(app.screen, HelpScreen)
        assert app.is_running


def test_training_keys_are_legal_only_while_there_is_training_to_command(tales: ModuleType) -> None:
    main = main_view(tales)

    def legal(view: RunView, link: Link = Link.LIVE) -> set[str]:
        return {
            key.id
            for key in keys.of_mode(replay=False)
            if key.group == "training" and key.legal(Frame(view=view, link=link))
        }

    everything = {"checkpoint", "evaluate", "pause", "stop"}
    assert legal(main) == everything
    assert legal(replace(main, paused=True)) == everything
    assert legal(replace(main, phase=Phase.INIT)) == {"stop"}
    assert legal(replace(main, phase=Phase.FINALIZE)) == {"stop"}
    for link in (Link.LOST, Link.STARTING, Link.FAILED, Link.ENDED, Link.LOADING):
        assert legal(main, link) == set()
    assert legal(tales.view(tales.DEMO, ended=True)) == set()


async def test_an_illegal_key_sends_nothing_and_says_why(tales: ModuleType, stage: ModuleType) -> None:
    sender = stage.NotingSender()
    app = stage.cockpit(fold(tales.prefix(tales.DEMO, "task.started")), sender=sender)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.1)
        await pilot.press("k")
        await pilot.pause(0.1)
        assert sender.sent == []
        assert app.check_action("checkpoint", ()) is None
        assert "Warmup or Main" in app.frame().hint


def test_a_replay_has_no_training_keys_and_a_live_view_no_playing_keys() -> None:
    assert not {"checkpoint", "pause", "stop", "freeze"} & {key.id for key in keys.of_mode(replay=True)}
    assert not {"play", "rewind", "faster"} & {key.id for key in keys.of_mode(replay=False)}
    assert all(not key.legal(Frame()) for key in keys.TABLE if key.group == "replay")
    assert all(key.legal(Frame(playhead=Playhead())) for key in keys.TABLE if key.group == "replay")


@pytest.mark.parametrize(
    ("state", "detail", "words"),
    [
        ("applied", "checkpoint-60", "requested \u203a accepted \u203a \u2713 done"),
        ("rejected", "already saving", "\u2715 rejected  already saving"),
    ],
)
async def test_the_line_over_the_keys_tells_a_commands_whole_life(
    state: str, detail: str, words: str, tales: ModuleType, stage: ModuleType
) -> None:
    app = stage.cockpit(main_view(tales), sender=stage.NotingSender(reply_state=state, detail=detail))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.1)
        await pilot.press("k")
        await pilot.pause(0.6)
        line = app.dashboard.panels["controls"].render_line(0).text
        assert words in line
        assert detail in line


async def test_a_command_that_reaches_nobody_says_so(tales: ModuleType, stage: ModuleType) -> None:
    app = stage.cockpit(main_view(tales), sender=stage.NotingSender(unreachable=True))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.1)
        await pilot.press("k")
        await pilot.pause(0.6)
        line = app.dashboard.panels["controls"].render_line(0).text
        assert "not sent" in line
        assert "accepted" not in line
