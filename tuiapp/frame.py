"""What every panel is painted from: one frozen value a frame, and a painter is a function of nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from states.phases import Phase
from states.view import RunView
from tuiapp.glyphs import UNICODE, Glyphs
from tuiapp.remains import Remains


class Link(StrEnum):
    """How the cockpit stands to the run it shows."""

    STARTING = "starting"
    """An engine was launched, and has not taken its lock yet."""
    LOADING = "loading"
    """The journal is being read up to its newest record."""
    LIVE = "live"
    """The engine holds its lock."""
    LOST = "lost"
    """The engine is gone without a last record: killed, or its machine was."""
    FAILED = "failed"
    """The engine never came up."""
    ENDED = "ended"
    """The run's last record has been read."""
    REPLAY = "replay"
    """A recorded journal is being played."""


class Stage(StrEnum):
    """Which panels matter."""

    PREPARE = "prepare"
    TRAIN = "train"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Playhead:
    """Where a replay stands. Seconds count from the journal's first record, long silences cut short."""

    playing: bool = False
    speed: float = 1.0
    at_s: float = 0.0
    length_s: float = 0.0
    busy: bool = False
    """A distant place is still being folded."""
    marks: tuple[tuple[float, str], ...] = ()
    """(seconds, topic): phase changes, evaluations, checkpoints, alerts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command this cockpit sent: `requested`, `accepted`, then `applied`, `rejected` or `expired`; or `failed`."""

    number: int
    command: str
    label: str
    state: str
    wall: float
    id: str = ""
    detail: str = ""
    accepted: bool = False
    """The engine took it in, whatever became of it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Everything on the screen at one moment."""

    view: RunView = field(default_factory=RunView)
    link: Link = Link.STARTING
    now: float = 0.0
    """Unix seconds; in a replay the playhead's own time."""
    started: float = 0.0
    """Unix seconds when the cockpit opened."""
    heard: float = 0.0
    """Unix seconds of the newest sign of life."""
    trouble: str = ""
    """Why the engine never came up, in its own words."""
    frozen: bool = False
    behind: int = 0
    """Records that arrived since the view was frozen."""
    by_time: bool = False
    """Charts run over time instead of steps."""
    hint: str = ""
    playhead: Playhead | None = None
    requests: tuple[Request, ...] = ()
    glyphs: Glyphs = UNICODE
    home: str = ""
    """The run directory."""
    remains: Remains = field(default_factory=Remains)
    """What lies in it, once the run has ended."""

    @property
    def stage(self) -> Stage:
        """Which panels matter: the preparation's, the training's, or the ending's."""
        if self.link is Link.STARTING:
            return Stage.PREPARE
        if self.view.ending is not None or self.view.phase is Phase.STOPPED or self.link in {Link.LOST, Link.FAILED}:
            return Stage.END
        return Stage.PREPARE if self.view.phase in {Phase.SETUP, Phase.INIT} else Stage.TRAIN

    @property
    def running(self) -> bool:
        """The run is going on as far as anyone knows, so clocks tick."""
        return self.link in {Link.LIVE, Link.LOADING, Link.STARTING}
