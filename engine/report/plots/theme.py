"""Where the same drawing is shown: on paper with fixed colours, or in a web page whose style sheet owns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LIGHT: Mapping[str, str] = {
    "blue": "#2563a8",
    "orange": "#d9720b",
    "green": "#16865f",
    "purple": "#8a4fa3",
    "teal": "#1a8fa3",
    "rose": "#c2436b",
    "gold": "#a68500",
    "slate": "#64707d",
    "text": "#1c2228",
    "soft": "#66707a",
    "grid": "#e4e7ea",
    "axis": "#aab2ba",
    "surface": "#ffffff",
    "good": "#12805c",
    "warn": "#b26a00",
    "bad": "#c0362c",
    "info": "#64707d",
}
"""Name -> colour on a light ground."""

DARK: Mapping[str, str] = {
    "blue": "#6fb1f5",
    "orange": "#ffab5c",
    "green": "#6bd3a4",
    "purple": "#cf9be6",
    "teal": "#62cfe0",
    "rose": "#f58fae",
    "gold": "#e3c34d",
    "slate": "#9aa7b4",
    "text": "#e7eaee",
    "soft": "#9aa4af",
    "grid": "#2a3138",
    "axis": "#56616c",
    "surface": "#14181c",
    "good": "#62d3a0",
    "warn": "#ffb54d",
    "bad": "#ff7a70",
    "info": "#9aa7b4",
}
"""The same on a dark ground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """How a drawing gets its colours and its letters."""

    colours: Mapping[str, str]
    font: str
    """A font family; empty inherits the page's."""
    size: float
    """Of the letters, in units of the drawing."""
    letter: float
    """Mean width of a letter, as a share of the size."""

    def colour(self, name: str) -> str:
        """The paint for a name; what is not in the palette is drawn like text."""
        return self.colours.get(name, self.colours["text"])

    def width(self, text: str) -> float:
        """About how wide a text is."""
        return len(text) * self.letter * self.size


PAPER = Theme(colours=LIGHT, font="Libertinus Serif", size=13.5, letter=0.47)
SCREEN = Theme(colours={name: f"var(--{name})" for name in LIGHT}, font="", size=11.5, letter=0.6)
