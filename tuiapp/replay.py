"""Plays a recorded journal on the same screen: a clock that runs, halts and jumps, and a head that follows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tuiapp.frame import Link, Playhead
from tuiapp.messages import Advanced
from tuiapp.source import Post
from tuiapp.tape import Head, Tape

TICK_S = 0.1
SLICE_S = 0.05
"""Folding goes on this long before the screen is told how far it is."""
SLOWEST, FASTEST = 1 / 8, 4096.0
NEAR_S = 0.5
"""Going back from just behind a mark goes to the one before it, or a second press would never leave it."""


class ReplaySource:
    """The player. Every method may be called from any thread."""

    def __init__(
        self, tape: Tape, *, speed: float = 1.0, at: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tape = tape
        self._clock = clock
        self._wake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._head = Head(tape)
        self._scout = Head(tape)
        self._speed = min(FASTEST, max(SLOWEST, speed))
        self._at_s = min(max(0.0, at or 0.0), tape.length_s)
        self._playing = True
        self._ticked = clock()

    def start(self, post: Post) -> None:
        """Begin to play."""
        self._ticked = self._clock()
        self._thread = threading.Thread(target=self._run, args=(post,), name="replay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and let the file go."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._tape.close()

    def toggle(self) -> None:
        """Play or hold; at the end, play again from the start."""
        with self._wake:
            self._tick()
            if not self._playing and self._at_s >= self._tape.length_s:
                self._at_s = 0.0
            self._playing = not self._playing
            self._wake.notify_all()

    def seek(self, seconds: float) -> None:
        """Move by so many seconds of the recording."""
        with self._wake:
            self._tick()
            self._go(self._at_s + seconds)

    def seek_to(self, at_s: float) -> None:
        """Move to a moment of the recording."""
        with self._wake:
            self._tick()
            self._go(at_s)

    def mark(self, direction: int) -> None:
        """Move to the next mark ahead (1) or behind (-1); to the end or the start where there is none."""
        with self._wake:
            self._tick()
            places = [at_s for at_s, _ in self._tape.marks]
            if direction > 0:
                self._go(next((at_s for at_s in places if at_s > self._at_s + 1e-6), self._tape.length_s))
            else:
                near = NEAR_S * self._speed if self._playing else 1e-6
                self._go(next((at_s for at_s in reversed(places) if at_s < self._at_s - near), 0.0))

    def step(self) -> None:
        """Hold, and go one record on."""
        with self._wake:
            self._tick()
            self._playing = False
            position = self._tape.position(self._at_s) + 1
            self._go(self._tape.seconds(position))

    def faster(self) -> None:
        """Double the speed."""
        self._pace(2.0)

    def slower(self) -> None:
        """Half the speed."""
        self._pace(0.5)

    def playhead(self, *, busy: bool = False) -> Playhead:
        """Where the recording stands."""
        return Playhead(
            playing=self._playing,
            speed=self._speed,
            at_s=self._at_s,
            length_s=self._tape.length_s,
            busy=busy,
            marks=self._tape.marks,
        )

    def _pace(self, factor: float) -> None:
        with self._wake:
            self._tick()
            self._speed = min(FASTEST, max(SLOWEST, self._speed * factor))
            self._wake.notify_all()

    def _go(self, at_s: float) -> None:
        self._at_s = min(max(0.0, at_s), self._tape.length_s)
        self._wake.notify_all()

    def _tick(self) -> None:
        """Let the playing clock run up to this moment; the caller holds the lock."""
        now = self._clock()
        if self._playing:
            self._at_s = min(self._tape.length_s, self._at_s + (now - self._ticked) * self._speed)
            if self._at_s >= self._tape.length_s:
                self._playing = False
        self._ticked = now

    def _run(self, post: Post) -> None:
        told: tuple[int, Playhead] | None = None
        while True:
            with self._wake:
                if self._closing:
                    return
                self._tick()
                target, at_s = self._tape.position(self._at_s), self._at_s
            arrived = self.fold_towards(target)
            with self._wake:
                head = self.playhead(busy=not arrived)
            if (self._head.position, head) != told:
                told = (self._head.position, head)
                heard = self._tape.wall(at_s if arrived else self._tape.seconds(self._head.position))
                post(Advanced(self._head.view, Link.REPLAY, heard=heard, playhead=head))
            # Whoever has jumped ahead waits for the head alone; what it folds is kept for the scout too.
            explored = arrived and self._scout.towards(len(self._tape))
            with self._wake:
                if not self._closing and arrived and explored:
                    self._wake.wait(TICK_S if self._playing else None)
                elif not self._closing and arrived and self._playing:
                    self._wake.wait(TICK_S / 2)

    def fold_towards(self, target: int) -> bool:
        """Fold for one slice; True once the head is there."""
        end = time.monotonic() + SLICE_S
        while not self._head.towards(target):
            if time.monotonic() > end:
                return False
        return True
