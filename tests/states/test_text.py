"""Text of others reaches a terminal through `clean`; nothing a terminal obeys may survive it."""

from __future__ import annotations

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from states.text import clean, one_line

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=()))


def test_no_code_point_that_a_terminal_obeys_or_hides_gets_through():
    everything = clean("".join(map(chr, range(sys.maxunicode + 1))))
    leaks = {
        hex(ord(char))
        for char in everything
        if (ord(char) < 32 and char not in "\n\t")
        or 127 <= ord(char) < 160
        or 0xD800 <= ord(char) <= 0xDFFF
        or unicodedata.category(char) in ("Zl", "Zp")
        or unicodedata.bidirectional(char) in BIDI
    }
    assert leaks == set()


def test_escapes_name_the_character():
    assert clean("a\x1b[31mb") == "a\\x1b[31mb"
    assert clean("\u202e") == "\\u202e"
    assert clean("\U000e0041") == "\\U000e0041"
    assert clean("\ud800") == "\\ud800"


def test_ordinary_text_is_left_alone():
    text = "Gr\u00fc\u00dfe, \u4f60\u597d, \u0645\u0631\u062d\u0628\u0627\t\u05e9\u05dc\u05d5\u05dd\n\u0394 \U0001f600"
    assert clean(text) == text


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing_and_the_result_encodes(text):
    once = clean(text)
    assert clean(once) == once
    assert once.encode().decode() == once


@given(ANY_TEXT, st.integers(0, 50))
def test_one_line_is_one_line_within_its_limit(text, limit):
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line
    assert "\t" not in line
    assert line == clean(line)


def test_a_cut_line_says_so():
    assert one_line("a  b\n c") == "a b c"
    assert one_line("x" * 300) == "x" * 197 + "..."
