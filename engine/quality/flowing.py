"""A reply on a terminal as it is written, broken between words: a terminal breaks in the middle of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from rich.cells import cell_len

_PIECES: Final = re.compile(r"\n|[^\S\n]+|\S+")


class Flow:
    """Takes pieces of text of any length; a word is held back until its end is known, which a line's end is too."""

    def __init__(self, write: Callable[[str], None], width: Callable[[], int]) -> None:
        """`write` prints; `width` is asked for the terminal's columns as each line begins, as people resize it."""
        self._write = write
        self._width = width
        self._columns = 0
        self._at = 0
        self._gap = ""
        self._word = ""

    def __call__(self, text: str) -> None:
        """Print what is whole of it."""
        for piece in _PIECES.findall(text):
            if piece == "\n":
                self._put()
                # What stood before the end of a line shows nowhere.
                self._gap = ""
                self._end_line()
            elif piece.isspace():
                self._put()
                # Of a tab nobody knows how wide it is.
                self._gap += piece.replace("\t", " ")
            else:
                self._word += piece

    def _put(self) -> None:
        if not self._word:
            return
        if self._at and self._at + cell_len(self._gap + self._word) > self._columns:
            self._gap = ""
            self._end_line()
        if not self._at:
            self._columns = self._width()
        told = self._gap + self._word
        self._write(told)
        # A word that is longer than a line is broken by the terminal.
        self._at = (self._at + cell_len(told) - 1) % max(1, self._columns) + 1
        self._gap = self._word = ""

    def _end_line(self) -> None:
        self._write("\n")
        self._at = 0
