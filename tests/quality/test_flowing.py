"""A reply on a terminal: broken between words, whatever pieces it comes in, and otherwise word for word."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.quality.flowing import Flow

WIDTH = 12


def flowed(pieces: list[str], width: int = WIDTH) -> str:
    told: list[str] = []
    flow = Flow(told.append, lambda: width)
    for piece in pieces:
        flow(piece)
    flow("\n")
    return "".join(told)


def test_words_are_not_broken() -> None:
    assert flowed(["therapist: ", "You ", "are ca", "rry", "ing it for lo", "ng."]) == (
        "therapist:\nYou are\ncarrying it\nfor long.\n"
    )


def test_a_word_is_shown_as_soon_as_it_is_whole() -> None:
    told: list[str] = []
    flow = Flow(told.append, lambda: 40)
    flow("one tw")
    assert "".join(told) == "one"
    flow("o ")
    assert "".join(told) == "one two"


def test_a_terminal_that_was_resized_is_asked_again() -> None:
    told: list[str] = []
    widths = iter([12, 6, 6, 6, 6])
    flow = Flow(told.append, lambda: next(widths))
    flow("aaa bbb ccc ddd eee\n")
    assert "".join(told) == "aaa bbb ccc\nddd\neee\n"


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab \n\t\u5b57", max_size=9), max_size=12))
def test_the_words_stay_and_no_line_is_too_long_that_need_not_be(pieces: list[str]) -> None:
    text = "".join(pieces)
    told = flowed(pieces)
    assert told.split() == text.split()
    assert told.count("\n") >= text.count("\n") + 1
    for line in told.split("\n"):
        # The terminal goes on after a word that is longer than its line, and so may others.
        assert cell_len(line) <= WIDTH or cell_len(line.split()[0]) > WIDTH
