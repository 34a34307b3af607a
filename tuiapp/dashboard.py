"""The one screen: every panel by name, put where `layout` says for the terminal's size and the run's stage."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.events import Resize
from textual.geometry import NULL_OFFSET, Region, Spacing
from textual.geometry import Size as Extent
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from tuiapp.frame import Frame, Stage
from tuiapp.layout import Places, Size, places
from tuiapp.widgets import (
    budget,
    checkpoints,
    controls,
    ending,
    experts,
    facts,
    feed,
    gist,
    hardware,
    keybar,
    loss,
    masthead,
    ribbon,
    task,
    timeline,
    trends,
)
from tuiapp.widgets.panel import Inputs, Painter, Panel

FRAMED: dict[str, Painter] = {
    "task": task.paint,
    "facts": facts.paint,
    "loss": loss.paint,
    "budget": budget.paint,
    "hardware": hardware.paint,
    "rate": trends.rate,
    "norm": trends.norm,
    "speed": trends.speed,
    "experts": experts.paint,
    "checkpoints": checkpoints.paint,
    "feed": feed.paint,
    "ending": ending.paint,
}
"""Panels in a box, or under a rule on small screens."""

BARE: dict[str, Painter] = {
    "masthead": masthead.paint,
    "ribbon": ribbon.paint,
    "gist": gist.paint,
    "log": feed.log,
    "pace": trends.pace,
    "controls": controls.paint,
    "timeline": timeline.paint,
    "keybar": keybar.paint,
}
"""Lines of their own."""


INPUTS: dict[str, Inputs] = {
    "loss": loss.inputs,
    "rate": trends.rate_inputs,
    "norm": trends.norm_inputs,
    "speed": trends.speed_inputs,
    "experts": experts.inputs,
}
"""The charts are costly to paint and change with a step, not with the clock."""


class Placed(Layout):
    """Puts each child where the dashboard's places say."""

    name = "placed"

    def __init__(self) -> None:
        self.regions: dict[str, Region] = {}

    def arrange(self, parent: Widget, children: list[Widget], size: Extent, greedy: bool = True) -> ArrangeResult:
        """One placement for every child that has a region."""
        return [
            WidgetPlacement(self.regions[child.id], NULL_OFFSET, Spacing(), child)
            for child in children
            if child.id in self.regions
        ]


class Dashboard(Widget):
    """Shows frames; knows nothing of where they come from."""

    def __init__(self) -> None:
        super().__init__()
        self._placed = Placed()
        self._frame: Frame | None = None
        self._layout_of: tuple[int, int, Stage, bool] | None = None
        self.panels: dict[str, Panel] = {
            **{name: Panel(name, painter, inputs=INPUTS.get(name)) for name, painter in FRAMED.items()},
            **{name: Panel(name, painter, framed=False) for name, painter in BARE.items()},
        }

    def compose(self) -> ComposeResult:
        """All panels, hidden until they have a place."""
        for panel in self.panels.values():
            panel.display = False
            yield panel

    @property
    def layout(self) -> Layout:
        """Our own rule, which style sheets cannot name."""
        return self._placed

    def on_resize(self, event: Resize) -> None:
        """Find new places for a new size."""
        del event
        if self._frame is not None:
            self.show(self._frame)

    def show(self, frame: Frame) -> None:
        """Put `frame` on the screen."""
        self._frame = frame
        width, height = self.size
        if not width or not height:
            return
        wanted = (width, height, frame.stage, frame.playhead is not None)
        if wanted != self._layout_of:
            self._layout_of = wanted
            self._arrange(places(width, height, frame.stage, replay=frame.playhead is not None))
        for panel in self.panels.values():
            panel.show(frame)

    def _arrange(self, found: Places) -> None:
        self._placed.regions = found.regions
        boxed = found.size in {Size.MEDIUM, Size.WIDE}
        for name, panel in self.panels.items():
            region = found.regions.get(name)
            panel.boxed = boxed
            panel.display = region is not None and region.width > 0 and region.height > 0
        self.refresh(layout=True)
