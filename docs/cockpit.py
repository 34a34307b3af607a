"""Draws the cockpit as an SVG from a real journal: `python docs/cockpit.py EVENTS OUT.svg [--at SECONDS]`.

The picture is a frame of the replay itself, so it cannot show what the program does not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuiapp.frame import Playhead
from tuiapp.glyphs import UNICODE
from tuiapp.playback import ReplayCockpit
from tuiapp.replay import ReplaySource
from tuiapp.tape import Tape

SIZE = (160, 45)
PATIENCE_S = 120.0


async def draw(events: Path, out: Path, at_s: float | None) -> None:
    """Move the replay to `at_s` (default: nine tenths of the way) and save the screen."""
    tape = Tape(events)
    player = ReplaySource(tape, at=0.9 * tape.length_s if at_s is None else at_s, speed=1.0)
    player.toggle()
    app = ReplayCockpit(player, home=str(events.parent), glyphs=UNICODE)
    async with app.run_test(size=SIZE) as pilot:
        waited = 0.0
        while not settled(app.frame().playhead, app.frame().view.seq) and waited < PATIENCE_S:
            await pilot.pause(0.1)
            waited += 0.1
        await pilot.pause(0.3)
        app.paint()
        await pilot.pause()
        out.write_text(app.export_screenshot(title="stint"), encoding="utf-8")


def settled(playhead: Playhead | None, seq: int) -> bool:
    """The head has arrived."""
    return playhead is not None and not playhead.busy and seq >= 0


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--at", type=float, default=None, help="seconds after the first record")
    given = parser.parse_args()
    asyncio.run(draw(given.events, given.out, given.at))


if __name__ == "__main__":
    main()
