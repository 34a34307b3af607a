"""Foreign text made safe to print: what a terminal would obey or hide becomes a visible escape."""

from __future__ import annotations

import re
from typing import Final

_UNSAFE: Final = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1: cursor movement, colours, clipboard writes
    "\u00ad\u034f\u061c\u180e"  # soft hyphen, grapheme joiner, Arabic letter mark, Mongolian separator: invisible
    "\u200b-\u200f\u2028-\u202e"  # zero width, direction marks, line and paragraph separators, bidi overrides
    "\u2060-\u206f\ufeff\ufff9-\ufffb"  # word joiner, isolates, byte order mark, annotations
    "\ud800-\udfff"  # lone surrogates: not encodable at all
    "\U000e0000-\U000e007f"  # tags: a whole hidden alphabet
    "]"
)
_WHITESPACE: Final = re.compile(r"\s+")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def clean(text: str) -> str:
    r"""The same text with control, bidi, zero-width and unencodable characters spelled out, as in `\x1b`.

    Newlines and tabs stay. Cleaning twice changes nothing, and clean text always encodes to UTF-8.
    """
    return _UNSAFE.sub(_escape, text)


def one_line(text: str, limit: int = 200) -> str:
    """Clean text on one line of at most `limit` characters; what was cut is marked with three dots."""
    line = clean(_WHITESPACE.sub(" ", text).strip())
    return line if len(line) <= limit else line[: max(0, limit - 3)].rstrip() + "..."[: max(0, limit)]
