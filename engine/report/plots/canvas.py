"""A drawing made of lines, areas and words, as SVG text; every word is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from engine.report.plots.theme import Theme
from states.text import clean

Points = Sequence[tuple[float, float]]


class Canvas:
    """A drawing of `width` by `height` units."""

    def __init__(self, width: float, height: float, theme: Theme, *, label: str = "") -> None:
        self.width = width
        self.height = height
        self.theme = theme
        self._label = label
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, ink: str, *, width: float = 1.0, dash: str = "") -> None:
        """A straight line."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        paint = self.theme.colour(ink)
        self._parts.append(
            f'<line x1="{n(x1)}" y1="{n(y1)}" x2="{n(x2)}" y2="{n(y2)}" stroke="{paint}" '
            f'stroke-width="{n(width)}"{dashed}/>'
        )

    def path(self, points: Points, ink: str, *, width: float = 1.8, opacity: float = 1.0, dash: str = "") -> None:
        """A line through points."""
        if len(points) < 2:
            return
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        faded = f' stroke-opacity="{n(opacity)}"' if opacity < 1 else ""
        self._parts.append(
            f'<path d="{_path(points)}" fill="none" stroke="{self.theme.colour(ink)}" stroke-width="{n(width)}" '
            f'stroke-linejoin="round" stroke-linecap="round"{faded}{dashed}/>'
        )

    def area(self, points: Points, ink: str, *, opacity: float = 1.0) -> None:
        """A filled shape."""
        if len(points) > 2:
            self._parts.append(
                f'<path d="{_path(points)}Z" fill="{self.theme.colour(ink)}" fill-opacity="{n(opacity)}"/>'
            )

    def box(
        self, x: float, y: float, width: float, height: float, ink: str, *, opacity: float = 1.0, round_: float = 0.0,
        tip: str = "",
    ) -> None:  # fmt: skip
        """A filled rectangle; `tip` is shown where a pointer rests on it."""
        corner = f' rx="{n(round_)}"' if round_ else ""
        faded = f' fill-opacity="{n(opacity)}"' if opacity < 1 else ""
        head = f'<rect x="{n(x)}" y="{n(y)}" width="{n(max(0.0, width))}" height="{n(max(0.0, height))}"'
        self._shape(f'{head} fill="{self.theme.colour(ink)}"{corner}{faded}', "rect", tip)

    def dot(self, x: float, y: float, ink: str, *, radius: float = 3.0, ring: bool = False, tip: str = "") -> None:
        """A disc, with `ring` set off from what is below it."""
        rim = f' stroke="{self.theme.colour("surface")}" stroke-width="1.5"' if ring else ""
        head = f'<circle cx="{n(x)}" cy="{n(y)}" r="{n(radius)}"'
        self._shape(f'{head} fill="{self.theme.colour(ink)}"{rim}', "circle", tip)

    def text(
        self, x: float, y: float, words: str, ink: str = "soft", *, anchor: str = "start", size: float = 1.0,
        bold: bool = False, halo: bool = False,
    ) -> None:  # fmt: skip
        """Words with their baseline at `y`; `anchor` is start, middle or end; `halo` sets them off from lines below."""
        weight = ' font-weight="600"' if bold else ""
        held = f' text-anchor="{anchor}"' if anchor != "start" else ""
        place = f'x="{n(x)}" y="{n(y)}" font-size="{n(self.theme.size * size)}"'
        told = escape(clean(words))
        if halo:
            rim = self.theme.colour("surface")
            self._parts.append(
                f'<text {place} fill="{rim}" stroke="{rim}" stroke-width="3" stroke-linejoin="round"{held}{weight}>'
                f"{told}</text>"
            )
        self._parts.append(f'<text {place} fill="{self.theme.colour(ink)}"{held}{weight}>{told}</text>')

    def svg(self) -> str:
        """The drawing."""
        font = f' font-family="{escape(self.theme.font)}"' if self.theme.font else ""
        named = f'role="img" aria-label="{escape(clean(self._label))}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {n(self.width)} {n(self.height)}" {named}{font}>'
        return f"{head}{''.join(self._parts)}</svg>"

    def _shape(self, head: str, name: str, tip: str) -> None:
        self._parts.append(f"{head}><title>{escape(clean(tip))}</title></{name}>" if tip else f"{head}/>")


def n(value: float) -> str:
    """A number with two decimals at most, so that drawings are small and the same everywhere."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _path(points: Points) -> str:
    return "M" + "L".join(f"{n(x)} {n(y)}" for x, y in points)
