"""The lifecycle of a run as one table and one typed `fire`: which trigger moves which phase, and when.

This is the only file that imports `transitions`. Guards are strings no type checker sees; a test writes out the
whole matrix instead. Queued triggers and exception callbacks stay off: the first reports refusals as success, the
second swallows KeyboardInterrupt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from transitions import EventData, Machine, MachineError

from states.phases import TRAINING, Phase, Reason, Trigger

if TYPE_CHECKING:
    from transitions.core import TransitionConfigDict

_TRAINING: Final = list(TRAINING)
_BEFORE_FINALIZE: Final = [Phase.SETUP, Phase.INIT, *TRAINING]
_ALIVE: Final = [phase for phase in Phase if phase is not Phase.STOPPED]

TABLE: Final[tuple[TransitionConfigDict, ...]] = (
    {"trigger": "advance", "source": Phase.SETUP, "dest": Phase.INIT},
    {"trigger": "advance", "source": Phase.INIT, "dest": Phase.MAIN, "conditions": "warmed_up"},
    {"trigger": "advance", "source": Phase.INIT, "dest": Phase.WARMUP},
    {"trigger": "advance", "source": Phase.WARMUP, "dest": Phase.MAIN, "conditions": "warmed_up", "unless": "paused"},
    {"trigger": "pause", "source": _TRAINING, "dest": None, "unless": "paused", "after": "_hold"},
    {"trigger": "unpause", "source": _TRAINING, "dest": None, "conditions": "paused", "after": "_release"},
    {"trigger": "finish", "source": Phase.INIT, "dest": Phase.FINALIZE, "conditions": "restored"},
    {"trigger": "finish", "source": _TRAINING, "dest": Phase.FINALIZE, "after": "_release"},
    {"trigger": "cancel", "source": _BEFORE_FINALIZE, "dest": Phase.STOPPED, "after": "_release"},
    {"trigger": "hurry", "source": Phase.FINALIZE, "dest": None},
    {"trigger": "close", "source": Phase.FINALIZE, "dest": Phase.STOPPED},
    {"trigger": "fail", "source": _ALIVE, "dest": Phase.STOPPED, "after": "_release"},
)
"""One row per arrow; rows of one trigger are tried in order. `dest` None is internal: the phase stays."""

REASONS: Final[dict[Trigger, frozenset[Reason]]] = {
    Trigger.FINISH: frozenset(Reason) - {Reason.ERROR},
    Trigger.CANCEL: frozenset({Reason.OPERATOR, Reason.SIGNAL, Reason.DEADLINE}),
    Trigger.FAIL: frozenset({Reason.ERROR}),
}
"""The reasons a trigger must carry one of; every other trigger carries none."""


class Rejected(Exception):  # noqa: N818  (what happened to the trigger, in the words of its caller)
    """The trigger is not possible now; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """The phase moved. `reason` is why the run left training, once it has."""

    old: Phase
    new: Phase
    trigger: Trigger
    reason: Reason | None


class Lifecycle:
    """The phase of one engine process.

    `announce` is called after every change of phase, on the caller's thread; pausing, unpausing and hurrying are
    internal and are not announced. Only the training thread may call `fire`.
    """

    phase: Phase
    paused: bool
    reason: Reason | None

    def __init__(
        self, announce: Callable[[Change], None], *, warmed_up: Callable[[], bool], restored: Callable[[], bool]
    ) -> None:
        # The library logs every callback at INFO, and at WARNING each method that `model_override` keeps it from
        # adding.
        logging.getLogger("transitions").setLevel(logging.ERROR)
        self.paused = False
        self.reason = None
        self._announce = announce
        self._warmed_up = warmed_up
        self._restored = restored
        self._machine = Machine(
            self,
            states=Phase,
            initial=Phase.SETUP,
            transitions=list(TABLE),
            model_attribute="phase",
            model_override=True,  # inject no trigger methods: `fire` is the only way in
            auto_transitions=False,
            send_event=True,
            after_state_change="_changed",
        )

    def fire(self, trigger: Trigger, reason: Reason | None = None) -> None:
        """Move, or raise `Rejected` and change nothing."""
        fitting = REASONS.get(trigger)
        if fitting is None and reason is not None:
            raise Rejected(f"{trigger} carries no reason, not even {reason}")
        if fitting is not None and reason not in fitting:
            raise Rejected(f"{trigger} needs one of {', '.join(sorted(fitting))} as its reason, not {reason}")
        try:
            accepted = self._machine.events[trigger.value].trigger(self, reason=reason)
        except MachineError as error:
            raise Rejected(f"{trigger} is not possible in {self.phase}") from error
        if not accepted:
            raise Rejected(f"{trigger} is not possible in {self.phase}{' while paused' if self.paused else ' now'}")

    def warmed_up(self, _: EventData) -> bool:
        """Guard: the warm-up steps are done."""
        return self._warmed_up()

    def restored(self, _: EventData) -> bool:
        """Guard: a checkpoint was loaded, so there is something to finalize."""
        return self._restored()

    def _hold(self, _: EventData) -> None:
        self.paused = True

    def _release(self, _: EventData) -> None:
        self.paused = False

    def _changed(self, event: EventData) -> None:
        transition = event.transition
        if transition is None or transition.dest is None:
            return
        self.reason = event.kwargs["reason"] or self.reason
        self._announce(Change(Phase[transition.source], self.phase, Trigger(event.event.name), self.reason))


def legal(phase: Phase, paused: bool, *, restored: bool = False) -> frozenset[Trigger]:
    """The triggers that may be fired here, given a fitting reason and a warm-up that is done."""
    facts = {"paused": paused, "restored": restored, "warmed_up": True}
    return frozenset(
        Trigger(row["trigger"])
        for row in TABLE
        if phase in sources(row)
        and all(facts[guard] for guard in guards(row, "conditions"))
        and not any(facts[guard] for guard in guards(row, "unless"))
    )


def sources(row: TransitionConfigDict) -> list[Phase]:
    """The phases a row of the table starts from."""
    source = row["source"]
    return [phase for phase in Phase if phase is source or (isinstance(source, list) and phase in source)]


def guards(row: TransitionConfigDict, key: str) -> list[str]:
    """The guards of a row under `conditions` (must hold) or `unless` (must not)."""
    guard = row.get(key)
    return [guard] if isinstance(guard, str) else []
