"""Warnings of libraries become part of the run's story, once, cleaned, and without ever hurting the run."""

from __future__ import annotations

import logging
import threading
import warnings

import pytest

from engine.run.bus import Bus
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.watch import messages
from engine.watch.messages import EventHandler, record_messages
from states.events import MessageLogged, Record


def told(rundir: RunDir) -> list[tuple[str, str, str]]:
    events = [record.event for record in read(rundir.events)]
    return [(event.level, event.logger, event.text) for event in events if isinstance(event, MessageLogged)]


def test_warnings_and_errors_are_recorded_and_less_is_not(bus: Bus, rundir: RunDir) -> None:
    log = logging.getLogger("some.library")
    with record_messages(bus):
        log.info("nothing to see")
        log.warning("careful with %s", "this")
        log.error("that\nwent wrong \x1b[31m")
    log.warning("after the run")
    assert told(rundir) == [
        ("WARNING", "some.library", "careful with this"),
        ("ERROR", "some.library", "that went wrong \\x1b[31m"),
    ]


def test_the_kind_of_an_exception_is_kept_and_its_traceback_is_not(bus: Bus, rundir: RunDir) -> None:
    with record_messages(bus):
        try:
            {}["missing"]
        except KeyError:
            logging.getLogger("lib").exception("could not load")
    assert told(rundir) == [("ERROR", "lib", "could not load (KeyError: 'missing')")]


def test_python_warnings_are_recorded(bus: Bus, rundir: RunDir) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with record_messages(bus):
            warnings.warn("old fashioned", DeprecationWarning, stacklevel=1)
    ((level, logger, text),) = told(rundir)
    assert (level, logger) == ("WARNING", "py.warnings")
    assert "DeprecationWarning: old fashioned" in text


def test_what_transformers_keeps_to_itself_is_recorded_once(
    bus: Bus, rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = logging.getLogger("transformers")
    # Loading a model quietens the library for the rest of the process.
    monkeypatch.setattr(library, "level", logging.WARNING)
    logging.getLogger("transformers.modeling").manager._clear_cache()
    for propagate in (False, True):
        library.propagate = propagate
        with record_messages(bus):
            logging.getLogger("transformers.modeling").warning("propagate is %s", propagate)
    assert [text for _, _, text in told(rundir)] == ["propagate is False", "propagate is True"]


def test_a_library_that_repeats_itself_is_cut_short_and_counted(
    bus: Bus, rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(messages.time, "monotonic", lambda: now[0])
    log = logging.getLogger("noisy")
    with record_messages(bus):
        for i in range(100):
            log.warning("step %d is odd", i)
        now[0] += 61.0
        log.warning("something else")
    assert [text for _, _, text in told(rundir)] == [
        "step 0 is odd",
        "step 1 is odd",
        "step 2 is odd",
        "97 more messages were left out in the last minute",
        "something else",
    ]


def test_many_different_messages_are_bounded_too(bus: Bus, rundir: RunDir) -> None:
    with record_messages(bus):
        for i in range(200):
            logging.getLogger(f"library{i}").warning("different")
    assert len(told(rundir)) == messages.MAX_ALL


def test_a_subscriber_that_logs_does_not_start_an_avalanche(bus: Bus, rundir: RunDir) -> None:
    def chatty(record: Record) -> None:
        logging.getLogger("chatty").warning("heard %s", record.event.kind)

    bus.subscribe("chatty", chatty)
    with record_messages(bus):
        logging.getLogger("lib").warning("one")
    assert [text for _, _, text in told(rundir)] == ["one"]


def test_logging_and_emitting_from_all_sides_never_locks_up(bus: Bus, rundir: RunDir) -> None:
    def chatty(_: Record) -> None:
        logging.getLogger("sink").warning("in the middle of a delivery")

    bus.subscribe("chatty", chatty)

    def emit() -> None:
        for _ in range(100):
            bus.emit(MessageLogged(level="INFO", logger="x", text="event"))

    def warn() -> None:
        for i in range(100):
            logging.getLogger("other").warning("from outside %d", i)

    with record_messages(bus):
        threads = [threading.Thread(target=work, daemon=True) for work in (emit, warn, emit, warn)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20.0)
        assert not any(thread.is_alive() for thread in threads)
    assert len(list(read(rundir.events))) >= 200


def test_a_journal_that_fails_does_not_hurt_who_logged(bus: Bus) -> None:
    with record_messages(bus):
        bus.close()
        logging.getLogger("late").warning("too late")


def test_a_message_that_cannot_be_formatted_does_not_hurt_who_logged(bus: Bus, rundir: RunDir) -> None:
    wrong = logging.LogRecord("lib", logging.WARNING, __file__, 1, "%d", ("not a number",), None)
    assert EventHandler(bus).handle(wrong)
    assert told(rundir) == []
