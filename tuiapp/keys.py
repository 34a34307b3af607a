"""The one table of keys: bindings, footer, help and legality all come from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.binding import Binding

from states.phases import TRAINING, Phase
from tuiapp.frame import Frame, Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key. `legal` is asked at every press and paint; an illegal key is dimmed, or absent in the other mode."""

    id: str
    """The action, and the binding's id."""
    keys: str
    """Textual key names, comma-separated; all do the same."""
    show: str
    """The key as it is written in the footer."""
    label: str
    tooltip: str
    group: str
    live: bool = True
    replay: bool = True
    footer: bool = True
    legal: Callable[[Frame], bool] = lambda frame: True
    why: str = "does nothing before the first record."
    """What is said when the key is pressed while it is illegal."""


def training(frame: Frame) -> bool:
    """Steps are being made, or are held by a pause."""
    return frame.link is Link.LIVE and frame.view.phase in TRAINING


def stoppable(frame: Frame) -> bool:
    """There is something to stop, or to hurry."""
    return frame.link is Link.LIVE and frame.view.ending is None and frame.view.phase is not Phase.STOPPED


def playing(frame: Frame) -> bool:
    """There is a recording to move in."""
    return frame.playhead is not None


TABLE: tuple[Key, ...] = (
    Key(
        id="detach",
        keys="q,ctrl+q",
        show="q",
        label="detach",
        tooltip="Leave; training goes on, attach again at any time. After the end: leave with the run's exit code.",
        group="cockpit",
    ),
    Key(
        id="checkpoint",
        keys="k",
        show="k",
        label="checkpoint",
        tooltip="Write a checkpoint at the next step boundary.",
        group="training",
        replay=False,
        legal=training,
        why="works only while the run is in Warmup or Main.",
    ),
    Key(
        id="evaluate",
        keys="e",
        show="e",
        label="evaluate",
        tooltip="Evaluate on the validation subset at the next step boundary.",
        group="training",
        replay=False,
        legal=training,
        why="works only while the run is in Warmup or Main.",
    ),
    Key(
        id="pause",
        keys="P",
        show="P",
        label="pause",
        tooltip="Hold training, or go on with it. Asks first: the paid window goes on while training holds.",
        group="training",
        replay=False,
        legal=training,
        why="works only while the run is in Warmup or Main.",
    ),
    Key(
        id="stop",
        keys="x",
        show="x",
        label="stop",
        tooltip="The stop menu: finish, finish with a cool-down, or abort. Nothing happens before you choose.",
        group="training",
        replay=False,
        legal=stoppable,
        why="works only while an engine is running.",
    ),
    Key(
        id="freeze",
        keys="space",
        show="space",
        label="freeze",
        tooltip="Hold the picture still to read it; training and recording go on. Again to catch up.",
        group="view",
        replay=False,
        legal=lambda frame: frame.view.seq >= 0,
    ),
    Key(
        id="play",
        keys="space",
        show="space",
        label="play",
        tooltip="Play or pause the recording.",
        group="replay",
        live=False,
        legal=playing,
    ),
    Key(
        id="rewind",
        keys="left",
        show="left",
        label="-10s",
        tooltip="Ten seconds back.",
        group="replay",
        live=False,
        footer=False,
        legal=playing,
    ),
    Key(
        id="forward",
        keys="right",
        show="right",
        label="10s",
        tooltip="Ten seconds ahead.",
        group="replay",
        live=False,
        footer=False,
        legal=playing,
    ),
    Key(
        id="slower",
        keys="shift+left,left_curly_bracket",
        show="{",
        label="slower",
        tooltip="Half the speed.",
        group="replay",
        live=False,
        legal=playing,
    ),
    Key(
        id="faster",
        keys="shift+right,right_curly_bracket",
        show="}",
        label="faster",
        tooltip="Double the speed.",
        group="replay",
        live=False,
        legal=playing,
    ),
    Key(
        id="previous_mark",
        keys="left_square_bracket",
        show="[",
        label="mark",
        tooltip="Back to the mark before: a phase, an evaluation, a checkpoint or an alert.",
        group="replay",
        live=False,
        legal=playing,
    ),
    Key(
        id="next_mark",
        keys="right_square_bracket",
        show="]",
        label="mark",
        tooltip="On to the next mark.",
        group="replay",
        live=False,
        legal=playing,
    ),
    Key(
        id="record",
        keys="full_stop",
        show=".",
        label="record",
        tooltip="One record ahead.",
        group="replay",
        live=False,
        footer=False,
        legal=playing,
    ),
    Key(
        id="to_start",
        keys="home",
        show="home",
        label="start",
        tooltip="To the first record.",
        group="replay",
        live=False,
        footer=False,
        legal=playing,
    ),
    Key(
        id="to_end",
        keys="end",
        show="end",
        label="end",
        tooltip="To the last record.",
        group="replay",
        live=False,
        footer=False,
        legal=playing,
    ),
    Key(
        id="axis",
        keys="t",
        show="t",
        label="time axis",
        tooltip="Charts over steps, or over time.",
        group="view",
        legal=lambda frame: frame.view.seq >= 0,
    ),
    Key(id="help", keys="question_mark,h", show="?", label="help", tooltip="This page.", group="cockpit"),
    Key(
        id="interrupt",
        keys="ctrl+c",
        show="ctrl+c",
        label="hint",
        tooltip="Says how to leave; it neither leaves nor stops training.",
        group="cockpit",
        footer=False,
    ),
)

BY_ID = {key.id: key for key in TABLE}
GROUPS = {"training": "Training", "view": "View", "replay": "Replay", "cockpit": "Cockpit"}
"""Group -> its heading in the help."""


def of_mode(*, replay: bool) -> tuple[Key, ...]:
    """The keys of a live cockpit or of a replay."""
    return tuple(key for key in TABLE if (key.replay if replay else key.live))


def bindings(*, replay: bool) -> list[Binding]:
    """The table as Textual wants it."""
    return [
        Binding(
            key.keys, key.id, key.label, show=key.footer, tooltip=key.tooltip, id=key.id, priority=key.id == "interrupt"
        )
        for key in of_mode(replay=replay)
    ]


def label(key: Key, frame: Frame) -> str:
    """The label where the frame changes what the key does."""
    if key.id == "pause" and frame.view.paused:
        return "resume"
    if key.id == "freeze" and frame.frozen:
        return "unfreeze"
    if key.id == "play" and frame.playhead is not None and frame.playhead.playing:
        return "hold"
    if key.id == "axis" and frame.by_time:
        return "step axis"
    if key.id == "detach" and (frame.playhead is not None or not frame.running):
        return "quit"
    return key.label
