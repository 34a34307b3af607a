"""The live source against a real run directory: journal, lock, and what it makes of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from engine.run.follower import Follower
from engine.run.rundir import RunDir
from states.codec import encode
from states.events import Record
from states.reducer import fold
from tuiapp.frame import Link
from tuiapp.messages import Advanced
from tuiapp.source import LiveSource


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def write(rundir: RunDir, records: Sequence[Record]) -> None:
    with rundir.events.open("ab") as file:
        file.writelines(map(encode, records))


def wait_for(condition: Callable[[], bool], seconds: float = 8.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_held_lock_is_live_and_a_free_one_without_an_ending_is_lost(rundir: RunDir, tales: ModuleType) -> None:
    write(rundir, tales.tell(tales.DEMO, until=10, ended=False))
    source = LiveSource(rundir)
    posted: list[Advanced] = []
    try:
        with rundir.hold_lock():
            source.start(posted.append)
            assert wait_for(lambda: bool(posted) and posted[-1].link is Link.LIVE)
        freed = time.monotonic()
        assert wait_for(lambda: posted[-1].link is Link.LOST)
        assert time.monotonic() - freed < 5.0
    finally:
        source.close()


def test_a_new_attempt_is_followed_after_a_loss(rundir: RunDir, tales: ModuleType) -> None:
    records = tales.tell(tales.DEMO, until=12, ended=False)
    write(rundir, records[:-20])
    source = LiveSource(rundir)
    posted: list[Advanced] = []
    try:
        source.start(posted.append)
        assert wait_for(lambda: bool(posted) and posted[-1].link is Link.LOST)
        with rundir.hold_lock():
            write(rundir, records[-20:])
            assert wait_for(lambda: posted[-1].link is Link.LIVE)
            assert wait_for(lambda: posted[-1].view.progress.step == 12)
    finally:
        source.close()


def test_the_live_view_at_the_end_is_the_fold_of_the_journal(rundir: RunDir, tales: ModuleType) -> None:
    records = tales.tell(tales.DEMO)
    source = LiveSource(rundir)
    posted: list[Advanced] = []
    try:
        with rundir.hold_lock():
            source.start(posted.append)
            for start in range(0, len(records), 37):
                write(rundir, records[start : start + 37])
        assert wait_for(lambda: bool(posted) and posted[-1].link is Link.ENDED)
        assert posted[-1].view == fold(records)
    finally:
        source.close()


def test_an_ending_written_just_before_the_lock_is_freed_is_no_loss(rundir: RunDir, tales: ModuleType) -> None:
    records = tales.tell(tales.DEMO, until=20)
    source = LiveSource(rundir)
    with rundir.hold_lock(), Follower(rundir.events) as follower:
        write(rundir, records[:-1])
        source.advance(follower)
        source.probe(follower)
        assert source.link is Link.LIVE
        write(rundir, records[-1:])
    with Follower(rundir.events) as follower:
        source.probe(follower)
        assert source.link is Link.ENDED


def test_a_launched_engine_is_waited_for_and_its_last_words_are_told(rundir: RunDir) -> None:
    words: list[str | None] = [None]
    source = LiveSource(rundir, launched=True, launcher_error=lambda: words[0])
    with Follower(rundir.events) as follower:
        source.probe(follower)
        assert source.link is Link.STARTING
        words[0] = "ImportError: no torch"
        source.probe(follower)
        assert source.link is Link.FAILED
        assert source.trouble == "ImportError: no torch"


def test_an_old_ending_is_no_news_to_someone_who_just_started_an_engine(rundir: RunDir, tales: ModuleType) -> None:
    write(rundir, tales.tell(tales.DEMO))
    source = LiveSource(rundir, launched=True, launcher_error=lambda: None)
    with Follower(rundir.events) as follower:
        source.advance(follower)
        source.probe(follower)
        assert source.link is Link.STARTING
        with rundir.hold_lock():
            source.probe(follower)
            assert source.link is Link.STARTING


def test_a_launched_engine_that_takes_its_lock_and_dies_before_its_first_record_has_failed(rundir: RunDir) -> None:
    source = LiveSource(rundir, launched=True, launcher_error=lambda: None)
    with Follower(rundir.events) as follower:
        with rundir.hold_lock():
            source.probe(follower)
            assert source.link is Link.STARTING
        source.probe(follower)
        assert source.link is Link.FAILED


def test_the_source_does_not_need_its_directory_to_exist(tmp_path: Path) -> None:
    source = LiveSource(RunDir(tmp_path / "not" / "yet"), launched=True, launcher_error=lambda: None)
    posted: list[Advanced] = []
    source.start(posted.append)
    try:
        assert wait_for(lambda: bool(posted))
        assert posted[-1].link is Link.STARTING
    finally:
        source.close()


def test_only_the_newest_view_waits_to_be_shown(tales: ModuleType) -> None:
    view = tales.view(tales.DEMO, until=3)
    first, second = Advanced(view, Link.LIVE, heard=1.0), Advanced(view, Link.LIVE, heard=2.0)
    assert first.can_replace(second)
