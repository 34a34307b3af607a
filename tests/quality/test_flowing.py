"""A reply on a terminal: broken between words, whatever pieces it comes in, and otherwise word for word."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.quality.flowing import Flow, may_part

WIDTH = 12
CJK = "\u5b57\u3002\u300c\u30f6\u3099"


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


def test_chinese_and_japanese_are_shown_and_broken_by_the_character() -> None:
    told: list[str] = []
    flow = Flow(told.append, lambda: WIDTH)
    flow("\u4f60\u597d\uff0c\u4eca\u5929")
    assert "".join(told) == "\u4f60\u597d\uff0c\u4eca"
    flow("\u600e\u4e48\u6837\uff1f\n")
    assert "".join(told) == "\u4f60\u597d\uff0c\u4eca\u5929\u600e\n\u4e48\u6837\uff1f\n"


def test_a_mark_that_closes_begins_no_line_and_one_that_opens_ends_none() -> None:
    assert flowed(["\u4f60\u597d\u4eca\u5929\u597d\u5417\uff1f"]) == ("\u4f60\u597d\u4eca\u5929\u597d\n\u5417\uff1f\n")
    assert flowed(["\u4f60\u597d\u4eca\u5929\u597d\u300c\u5417\u300d"]) == (
        "\u4f60\u597d\u4eca\u5929\u597d\n\u300c\u5417\u300d\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\u4e00", "\u30f6"),
        ("\u304b", "\u3099"),
        ("\u5b57", "\ufe0f"),
        ("\u5b57", "\u2026"),
        ("\u5b57", "**"),
        ("**", "\u91cd"),
        ('"', "\u91cd"),
        ("\u300c", "a"),
        ("a", "b"),
        ("\ud55c", "\uad6d"),
    ],
)
def test_where_a_line_may_not_end(before: str, after: str) -> None:
    assert not may_part(before, after)


@pytest.mark.parametrize(
    ("before", "after"), [("\u5b57", "\u5b57"), ("\u3002", "\u5b57"), ("a", "\u5b57"), ("\u30f6", "a")]
)
def test_where_a_line_may_end(before: str, after: str) -> None:
    assert may_part(before, after)


def test_a_terminal_that_was_resized_is_asked_again() -> None:
    told: list[str] = []
    widths = iter([12, 6, 6, 6, 6])
    flow = Flow(told.append, lambda: next(widths))
    flow("aaa bbb ccc ddd eee\n")
    assert "".join(told) == "aaa bbb ccc\nddd\neee\n"


def beginning(line: str) -> str:
    """What of a line cannot be parted: its margin and first word."""
    margin = len(line) - len(line.lstrip())
    inside = range(margin + 1, len(line))
    return next((line[:at] for at in inside if line[at].isspace() or may_part(line[:at], line[at:])), line)


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab, \n\t" + CJK, max_size=9), max_size=12))
def test_the_words_stay_and_no_line_is_too_long_that_need_not_be(pieces: list[str]) -> None:
    text = "".join(pieces)
    told = flowed(pieces)
    assert "".join(told.split()) == "".join(text.split())
    if not any(each in text for each in CJK):
        assert told.split() == text.split()
    assert told.count("\n") >= text.count("\n") + 1
    for line in told.split("\n"):
        # The terminal goes on after a word that is longer than its line, and so may others.
        assert cell_len(line) <= WIDTH or cell_len(beginning(line)) > WIDTH
