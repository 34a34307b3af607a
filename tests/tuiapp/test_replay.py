"""The tape and the player: any place can be entered, and it is the fold of what came before."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from states.codec import encode
from states.reducer import fold
from tuiapp import tape as tape_module
from tuiapp.frame import Link
from tuiapp.messages import Advanced
from tuiapp.playback import ReplayCockpit
from tuiapp.replay import FASTEST, SLOWEST, ReplaySource
from tuiapp.tape import Head, Tape


@pytest.fixture
def events(tmp_path: Path, tales: ModuleType) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(map(encode, tales.tell(tales.DEMO))))
    return path


def go(head: Head, position: int) -> None:
    while not head.towards(position):
        pass


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.integers(0, 600), min_size=1, max_size=6))
def test_any_place_is_the_fold_of_what_came_before(places: list[int], events: Path, tales: ModuleType) -> None:
    records = tales.tell(tales.DEMO)
    with pytest.MonkeyPatch.context() as patch, Tape(events) as tape:
        patch.setattr(tape_module, "EVERY", 64)
        assert len(tape) == len(records)
        head = Head(tape)
        for place in places:
            go(head, place)
            assert head.view == fold(records[:place])


def test_replay_at_its_end_equals_the_live_view(events: Path, tales: ModuleType) -> None:
    with Tape(events) as tape:
        head = Head(tape)
        go(head, len(tape))
        assert head.view == fold(tales.tell(tales.DEMO))


def test_a_damaged_line_ends_the_tape_there(events: Path) -> None:
    lines = events.read_bytes().splitlines(keepends=True)
    lines[40] = lines[40].replace(b'"data"', b'"dota"', 1)
    events.write_bytes(b"".join(lines))
    with Tape(events) as tape:
        head = Head(tape)
        go(head, 10_000)
        assert head.position == len(tape) == 40


def test_a_torn_tail_is_left_out(events: Path) -> None:
    whole = events.read_bytes()
    events.write_bytes(whole[:-7])
    with Tape(events) as tape:
        assert len(tape) == whole.count(b"\n") - 1


def test_the_night_between_two_attempts_is_not_played(tmp_path: Path, tales: ModuleType) -> None:
    tale = tales.Tale()
    tales._prepare(tale, tales.DEMO)
    before = tale.wall - tales.START
    tale.wall += 40_000
    tales._prepare(tale, tales.DEMO)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(map(encode, tale.records)))
    with Tape(path) as tape:
        assert tape.length_s < 2 * before + 2 * tape_module.SILENCE_S


def test_an_empty_journal_can_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.touch()
    with Tape(path) as tape:
        assert len(tape) == 0
        assert tape.length_s == 0.0
        assert Head(tape).towards(5)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def player(events: Path, at: float = 0.0, speed: float = 1.0) -> tuple[ReplaySource, Clock]:
    clock = Clock()
    return ReplaySource(Tape(events), speed=speed, at=at, clock=clock), clock


def test_the_player_plays_holds_and_changes_its_speed(events: Path) -> None:
    source, clock = player(events)
    clock.now = 5.0
    source.seek(0.0)
    assert source.playhead().at_s == pytest.approx(5.0)
    source.faster()
    clock.now = 8.0
    source.toggle()
    assert source.playhead().at_s == pytest.approx(11.0)
    clock.now = 100.0
    source.seek(-4.0)
    assert source.playhead().at_s == pytest.approx(7.0)
    assert not source.playhead().playing
    for _ in range(40):
        source.slower()
    assert source.playhead().speed == SLOWEST
    for _ in range(40):
        source.faster()
    assert source.playhead().speed == FASTEST
    source.close()


def test_marks_are_visited_in_order_both_ways(events: Path) -> None:
    source, _ = player(events)
    source.toggle()
    marks = sorted({at_s for at_s, _ in source.playhead().marks})
    there = []
    for _ in marks:
        source.mark(1)
        there.append(source.playhead().at_s)
    assert there == marks
    back = []
    for _ in marks[1:]:
        source.mark(-1)
        back.append(source.playhead().at_s)
    assert back == marks[-2::-1]
    topics = {topic for _, topic in source.playhead().marks}
    assert topics == {"phase", "eval", "checkpoint"}
    source.close()


def test_a_step_is_one_record(events: Path) -> None:
    source, _ = player(events, at=30.0)
    tape = source._tape
    before = tape.position(30.0)
    source.step()
    assert not source.playhead().playing
    assert tape.position(source.playhead().at_s) >= before + 1
    source.close()


def test_playing_again_at_the_end_starts_over(events: Path) -> None:
    source, clock = player(events)
    source.seek_to(float("inf"))
    clock.now = 1.0
    source.seek(0.0)
    assert not source.playhead().playing
    source.toggle()
    assert source.playhead().playing
    assert source.playhead().at_s == 0.0
    source.close()


async def test_every_playing_key_moves_the_recording(events: Path) -> None:
    source = ReplaySource(Tape(events), at=20.0)
    app = ReplayCockpit(source, home="x")
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("space")
        await pilot.pause(0.2)
        head = source.playhead()
        assert not head.playing
        at_s = head.at_s
        await pilot.press("right")
        assert source.playhead().at_s == pytest.approx(at_s + 10)
        await pilot.press("left", "left")
        assert source.playhead().at_s == pytest.approx(at_s - 10)
        await pilot.press("right_curly_bracket", "shift+right")
        assert source.playhead().speed == 4.0
        await pilot.press("left_curly_bracket", "shift+left", "left_curly_bracket")
        assert source.playhead().speed == 0.5
        await pilot.press("end")
        assert source.playhead().at_s == source.playhead().length_s
        await pilot.pause(0.4)
        assert app.frame().view.ending is not None
        assert app.frame().link is Link.REPLAY
        await pilot.press("home")
        assert source.playhead().at_s == 0.0
        await pilot.press("right_square_bracket")
        first = source.playhead().at_s
        assert first > 0
        await pilot.press("right_square_bracket", "left_square_bracket")
        assert source.playhead().at_s == first
        await pilot.press("full_stop")
        await pilot.press("k", "P", "x")
        await pilot.pause(0.1)
        assert len(app.screen_stack) == 1
        await pilot.press("q")
        await pilot.pause(0.1)
    assert app.return_value == 0


def test_a_run_of_a_day_opens_fast_and_goes_back_fast(tmp_path: Path, tales: ModuleType) -> None:
    records = tales.tell(tales.LARGE)
    body = list(map(encode, records))
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(body * (40_000 // len(body))))
    started = time.process_time()
    with Tape(path) as tape:
        assert len(tape) > 38_000
        # About 0.1 s of processor time; a bound that only a change of kind breaks.
        assert time.process_time() - started < 1.5


def test_the_player_posts_views_from_its_own_thread(events: Path, tales: ModuleType) -> None:
    source = ReplaySource(Tape(events), at=0.0, speed=4096.0)
    posted: list[Advanced] = []
    source.start(posted.append)
    end = time.monotonic() + 20
    while (not posted or posted[-1].view.ending is None) and time.monotonic() < end:
        time.sleep(0.02)
    source.close()
    assert posted[-1].view == fold(tales.tell(tales.DEMO))
    assert posted[-1].link is Link.REPLAY
