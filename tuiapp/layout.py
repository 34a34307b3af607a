"""Where each panel stands, as a function of the terminal's size and the run's stage.

Four classes: tiny (under 60 x 16: the budget, a sparkline and the log), compact (rules instead of boxes, made for
80 x 24), medium (100 x 30 and more) and wide (150 x 40 and more). A panel that has no place is not shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from textual.geometry import Region

from tuiapp.frame import Stage


class Size(StrEnum):
    """How much a terminal can show."""

    TINY = "tiny"
    COMPACT = "compact"
    MEDIUM = "medium"
    WIDE = "wide"


def size_class(width: int, height: int) -> Size:
    """The class of a terminal of width x height cells."""
    if width < 60 or height < 16:
        return Size.TINY
    if width < 100 or height < 30:
        return Size.COMPACT
    return Size.WIDE if width >= 150 and height >= 40 else Size.MEDIUM


@dataclass(frozen=True, slots=True)
class Places:
    """Panel name -> its region; the others are hidden."""

    size: Size
    regions: dict[str, Region]


def places(width: int, height: int, stage: Stage, *, replay: bool) -> Places:
    """The places of all panels on a screen of width x height cells."""
    size = size_class(width, height)
    if size is Size.TINY:
        return Places(size, _tiny(width, height))
    regions = {"masthead": Region(0, 0, width, 1), "ribbon": Region(0, 1, width, 1)}
    bottom = height - 2
    regions["keybar"] = Region(0, height - 1, width, 1)
    if replay:
        bottom -= size is not Size.COMPACT
        regions["timeline"] = Region(0, bottom, width, height - 1 - bottom)
    else:
        regions["controls"] = Region(0, bottom, width, 1)
    body = Region(0, 2, width, bottom - 2)
    fill = {Size.COMPACT: _compact, Size.MEDIUM: _medium, Size.WIDE: _wide}[size]
    regions.update(fill(body, stage))
    return Places(size, regions)


def _tiny(width: int, height: int) -> dict[str, Region]:
    rows = {"masthead": 1, "gist": min(4, max(1, height - 4))}
    regions: dict[str, Region] = {}
    y = 0
    for name, tall in rows.items():
        regions[name] = Region(0, y, width, tall)
        y += tall
    regions["log"] = Region(0, y, width, max(0, height - y - 2))
    regions["controls"] = Region(0, height - 2, width, 1)
    regions["keybar"] = Region(0, height - 1, width, 1)
    return regions


def _compact(body: Region, stage: Stage) -> dict[str, Region]:
    x, y, width, height = body
    side = max(27, min(44, width * 34 // 100))
    main = width - side
    lower = 5
    feed = max(3, min(12, (height - 12) // 4 + 2))
    upper = height - lower - feed
    regions: dict[str, Region] = {}
    if stage is Stage.PREPARE:
        upper = max(8, height - 8)
        regions["task"] = Region(x, y, main, upper)
        regions["budget"] = Region(x + main, y, side, min(5, upper))
        regions["hardware"] = Region(x + main, y + 5, side, max(0, upper - 5))
        regions["facts"] = Region(x, y + upper, width, height - upper)
        return regions
    budget = min(5, upper)
    ending = stage is Stage.END
    regions["loss"] = Region(x, y, main, upper)
    if ending:
        regions["ending"] = Region(x + main, y, side, upper)
    else:
        hardware = min(5 if upper >= 13 else 4, max(0, upper - budget - 2))
        regions["budget"] = Region(x + main, y, side, budget)
        regions["hardware"] = Region(x + main, y + budget, side, hardware)
        regions["pace"] = Region(x + main, y + budget + hardware, side, max(0, upper - budget - hardware))
    regions["experts"] = Region(x, y + upper, main, lower)
    regions["checkpoints"] = Region(x + main, y + upper, side, lower)
    regions["feed"] = Region(x, y + upper + lower, width, feed)
    return regions


def _medium(body: Region, stage: Stage) -> dict[str, Region]:
    x, y, width, height = body
    side = max(38, width * 36 // 100)
    main = width - side
    lower = 8 if height < 30 else 9
    middle = 4 if height < 30 else 6
    upper = height - lower - middle
    third = (width * 38 // 100, width * 30 // 100)
    regions: dict[str, Region] = {}
    if stage is Stage.PREPARE:
        return _prepare(body, side, budget=6, hardware=6)
    regions["loss"] = Region(x, y, main, upper)
    if stage is Stage.END:
        regions["ending"] = Region(x + main, y, side, upper)
    else:
        hardware = 6
        regions["budget"] = Region(x + main, y, side, upper - hardware)
        regions["hardware"] = Region(x + main, y + upper - hardware, side, hardware)
    regions.update(_trends(Region(x, y + upper, width, middle)))
    row = y + upper + middle
    regions["experts"] = Region(x, row, third[0], lower)
    regions["checkpoints"] = Region(x + third[0], row, third[1], lower)
    regions["feed"] = Region(x + sum(third), row, width - sum(third), lower)
    return regions


def _wide(body: Region, stage: Stage) -> dict[str, Region]:
    x, y, width, height = body
    side = max(54, width * 35 // 100)
    main = width - side
    lower = 11 if height < 50 else 13
    if stage is Stage.PREPARE:
        return _prepare(body, side, budget=6, hardware=7)
    middle = 7 if height < 50 else 10
    upper = height - lower - middle
    hardware = 7
    regions = {"loss": Region(x, y, main, upper)}
    if stage is Stage.END:
        regions["ending"] = Region(x + main, y, side, upper)
    else:
        regions["budget"] = Region(x + main, y, side, upper - hardware)
        regions["hardware"] = Region(x + main, y + upper - hardware, side, hardware)
    regions.update(_trends(Region(x, y + upper, width, middle)))
    row = y + upper + middle
    first, second = width * 43 // 100, width * 26 // 100
    regions["experts"] = Region(x, row, first, lower)
    regions["checkpoints"] = Region(x + first, row, second, lower)
    regions["feed"] = Region(x + first + second, row, width - first - second, lower)
    return regions


def _prepare(body: Region, side: int, *, budget: int, hardware: int) -> dict[str, Region]:
    """The work on the left, what it is for on the right."""
    x, y, width, height = body
    main = width - side
    return {
        "task": Region(x, y, main, height),
        "budget": Region(x + main, y, side, budget),
        "hardware": Region(x + main, y + budget, side, hardware),
        "facts": Region(x + main, y + budget + hardware, side, height - budget - hardware),
    }


def _trends(row: Region) -> dict[str, Region]:
    x, y, width, height = row
    third = width // 3
    return {
        "rate": Region(x, y, third, height),
        "norm": Region(x + third, y, third, height),
        "speed": Region(x + 2 * third, y, width - 2 * third, height),
    }
