"""The report as PDF through typst: the same bytes for the same report, and no text that could act as markup.

Everything reaches the template as one JSON string, which typst reads as data; drawings are its images. Fonts are those
that come with typst, so that pages look the same on every machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import orjson

from engine.report.document import Report
from engine.report.layout import prepared
from engine.report.plots.theme import LIGHT, PAPER

TEMPLATE: Final = Path(__file__).parent / "templates" / "report.typ"
_LONG_WORD: Final = re.compile(r"\S{14,}")
_BREAK: Final = re.compile(r"([/\\._,:;=&?+-]+)")
_RUN: Final = re.compile(r"[^\u200b]{24}(?=[^\u200b])")
_MISSING: Final = re.compile("[\u0590-\u1dff\u2c00-\ud7ff\ue000-\uf8ff\ufe00-\ufe0f\U00010000-\U0010ffff]")
"""Scripts and pictures that the fonts of typst do not have."""


def render_pdf(report: Report) -> bytes:
    """Return the document. Raises RuntimeError where typst refuses."""
    import typst

    return bytes(typst.compile(TEMPLATE.read_bytes(), ignore_system_fonts=True, sys_inputs=_inputs(report)))


def render_pages(report: Report, ppi: float = 110.0) -> list[bytes]:
    """Return a PNG of each page, to look at."""
    import typst

    pages = typst.compile(
        TEMPLATE.read_bytes(), format="png", ppi=ppi, ignore_system_fonts=True, sys_inputs=_inputs(report)
    )
    return [pages] if isinstance(pages, bytes) else list(pages)


def _inputs(report: Report) -> dict[str, str]:
    data = {**prepared(report, PAPER, both=False), "colours": dict(LIGHT)}
    return {"report": orjson.dumps(_printable(data)).decode()}


def _printable(value: Any) -> Any:
    """Every text with places to break its long words, and a box for letters that the fonts lack; not the drawings."""
    if isinstance(value, str):
        return _MISSING.sub("\u25a1", value) if value.startswith("<svg ") else _breakable(_MISSING.sub("\u25a1", value))
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    return value


def _breakable(text: str) -> str:
    def cut(match: re.Match[str]) -> str:
        return _RUN.sub("\\g<0>\u200b", _BREAK.sub("\\1\u200b", match[0]))

    return _LONG_WORD.sub(cut, text)
