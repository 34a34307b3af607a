"""A reply on a terminal as it is written, broken between words: a terminal breaks in the middle of them.

Chinese and Japanese are written without spaces, and a line may end after each of their characters, but not before a
mark that closes or after one that opens (the plain part of JIS X 4051 and of UAX #14).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from rich.cells import cell_len

_CJK: Final = "\u2e80-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff01-\uffef\U00020000-\U0003ffff"
"""Characters of Chinese and Japanese (not Bopomofo) and their punctuation; Korean has spaces."""
_PIECES: Final = re.compile(rf"\n|[^\S\n]+|[{_CJK}]|[^\s{_CJK}]+")
_IDEOGRAPH: Final = re.compile(f"[{_CJK}]")
_NEVER_FIRST: Final = frozenset(
    "\u3005\u301c\u303b\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u3095\u3096\u309b\u309c\u309d\u309e"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30f5\u30f6\u30fc\u30fd\u30fe"
    "\uff67\uff68\uff69\uff6a\uff6b\uff6c\uff6d\uff6e\uff6f\uff70\uff9e\uff9f"
).union(map(chr, range(0x31F0, 0x3200)))
"""Signs of length and repetition, small kana, marks of voice."""
_CLOSING: Final = ("Pe", "Pf", "Po", "Mn", "Mc", "Me")
"""Categories of Unicode that begin no line: marks that close or end a sentence, marks on the character before."""


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
                if may_part(self._word, piece):
                    self._put()
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


def may_part(word: str, piece: str) -> bool:
    """Whether a line may end between two texts that no space parts."""
    if not word or not (_IDEOGRAPH.match(word[-1]) or _IDEOGRAPH.match(piece)):
        return False
    if unicodedata.category(piece[0]) in _CLOSING or piece[0] in _NEVER_FIRST:
        return False
    # "**" and a straight quote open as well as close.
    before = unicodedata.category(word[-1])
    return before not in ("Ps", "Pi") and not (before == "Po" and not _IDEOGRAPH.match(word[-1]))
