"""Where views come from while a run lives: a plain thread that follows its journal and watches its lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from engine.run.follower import BATCH, Follower
from engine.run.rundir import RunDir
from states.reducer import fold
from states.view import RunView
from tuiapp.frame import Link
from tuiapp.messages import Advanced

POLL_S = 0.1
PROBE_S = 1.0
"""Seconds between looks at the lock; a kill is seen within two of them."""
GRACE_S = 120.0
"""A launched engine that has neither taken its lock nor ended by then is given up as not started."""

MARGIN_S = 5.0
"""The engine is spawned a little before the cockpit's modules are loaded; its first records may be this old."""

Post = Callable[[Advanced], object]
"""Textual's `post_message`: safe from any thread, never blocks; False when nobody takes the message."""


class Source(Protocol):
    """A thread that posts `Advanced` until it is closed."""

    def start(self, post: Post) -> None:
        """Begin to post."""

    def close(self) -> None:
        """End the thread."""


class LiveSource:
    """Follows one run directory.

    `launched` says that an engine was started for this cockpit: then an old ending in the journal is not the news, and
    `launcher_error` tells its last words once it has died.
    """

    def __init__(
        self,
        rundir: RunDir,
        *,
        launched: bool = False,
        launcher_error: Callable[[], str | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rundir = rundir
        self._launched = launched
        self._launcher_error = launcher_error
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._began = clock() - MARGIN_S
        self.view = RunView()
        self.link = Link.STARTING if launched else Link.LOADING
        self.trouble = ""
        self._heard = 0.0
        self._alive = False
        self._behind = False
        self._generation = 0

    def start(self, post: Post) -> None:
        """Begin to post."""
        self._thread = threading.Thread(target=self._run, args=(post,), name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; at most one poll later."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self, post: Post) -> None:
        probed = 0.0
        told: tuple[int, Link, str] | None = None
        with Follower(self._rundir.events) as follower:
            while not self._closing.is_set():
                moved = self.advance(follower)
                now = time.monotonic()
                if now - probed >= PROBE_S or (not moved and self.link in {Link.STARTING, Link.LOADING}):
                    probed = now
                    self.probe(follower)
                state = (self.view.seq, self.link, self.trouble)
                if state != told:
                    news = Advanced(self.view, self.link, heard=self._heard, trouble=self.trouble)
                    told = None if post(news) is False else state
                if not moved:
                    self._closing.wait(POLL_S)

    def advance(self, follower: Follower) -> int:
        """Fold what the journal has gained; returns how many records that was."""
        records = follower.poll()
        if follower.generation != self._generation:
            self._generation = follower.generation
            self.view = RunView()
        if records:
            self.view = fold(records, self.view)
            self._heard = max(self._heard, self.view.wall)
        self._behind = len(records) >= BATCH
        return len(records)

    def probe(self, follower: Follower) -> None:
        """Look at the lock, and say how the cockpit stands to the run."""
        alive = self._rundir.is_live()
        if alive:
            self._alive = True
            self._heard = self._clock()
        else:
            # The last record is written before the lock is let go: read on, or a proper ending would look like a loss.
            self.advance(follower)
        self.link = self._standing(alive)

    def _standing(self, alive: bool) -> Link:
        view = self.view
        if self._behind:
            return Link.LOADING
        if self._launched and view.wall < self._began and (not alive or view.ending is not None or view.seq < 0):
            self.trouble = "" if alive else self._last_words()
            gone = not alive and (self.trouble or self._alive or self._clock() - self._began > GRACE_S)
            return Link.FAILED if gone else Link.STARTING
        if view.ending is not None:
            return Link.ENDED
        if alive:
            return Link.LIVE
        self.trouble = self._last_words()
        return Link.LOST if view.seq >= 0 else Link.FAILED

    def _last_words(self) -> str:
        return (self._launcher_error() or "") if self._launcher_error is not None else ""
