"""What the engine tells of its routing: each sample, and with it each alarm that begins or ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from engine.model.tally import RoutingSample
from engine.training.experts import examine_experts, recentring_is_due, tell_sample
from states.alarms import Watch
from states.events import Event, ExpertsAlarmed, ExpertsSampled


def sample(*counts: tuple[int, ...]) -> RoutingSample:
    return RoutingSample(
        counts=counts,
        token_entropy=(1.0,) * len(counts),
        balance_loss=1.0,
        domains={},
        layer_domains={},
        gate_mass=((0.25,) * 4,) * len(counts),
        tokens=500,
    )


def fakes() -> tuple[Any, Any, list[Event]]:
    told: list[Event] = []
    return SimpleNamespace(step=30, emit=told.append), SimpleNamespace(watch=Watch()), told


def test_a_sample_is_told_and_its_alarm_once() -> None:
    session, trainer, told = fakes()
    starving = sample((350, 330, 300, 20), (250,) * 4)
    for _ in range(3):
        tell_sample(session, trainer, starving, source="train", window_steps=10)
    assert [type(event) for event in told].count(ExpertsSampled) == 3
    alarms = [event for event in told if isinstance(event, ExpertsAlarmed) and event.rule == "starved"]
    assert len(alarms) == 1
    assert (alarms[0].step, alarms[0].layer, alarms[0].expert, alarms[0].value) == (30, 0, 3, 0.02)
    assert told.index(alarms[0]) > 1, "one window is not enough to blame a layer"
    assert isinstance(told[0], ExpertsSampled), "the sample comes before what follows from it"
    assert told[0].gate_mass == starving.gate_mass


def test_a_cured_expert_is_told() -> None:
    session, trainer, told = fakes()
    tell_sample(session, trainer, sample((350, 330, 300, 20)), source="eval", window_steps=0)
    tell_sample(session, trainer, sample((250,) * 4), source="eval", window_steps=0)
    last = [event for event in told if isinstance(event, ExpertsAlarmed)][-1]
    assert not last.raised
    assert last.source == "eval"


def test_a_hurried_or_interrupted_end_examines_nothing() -> None:
    session, trainer, told = fakes()
    trainer.adapted = SimpleNamespace(spec=SimpleNamespace(routed=True))
    done: Any = SimpleNamespace(interrupted=False)
    cut: Any = SimpleNamespace(interrupted=True)
    assert examine_experts(session, trainer, done, 30, lambda: True) is None
    assert examine_experts(session, trainer, cut, 30, lambda: False) is None
    trainer.adapted = SimpleNamespace(spec=SimpleNamespace(routed=False))
    assert examine_experts(session, trainer, done, 30, lambda: False) is None
    assert told == []


def test_routers_are_recentred_ever_more_rarely_and_not_in_the_last_quarter() -> None:
    assert [step for step in range(107) if recentring_is_due(step, 106)] == [4, 6, 9, 14, 21, 32, 48, 72]
    assert [step for step in range(3001) if recentring_is_due(step, 3000)][-1] == 1850
    assert not any(recentring_is_due(step, 5) for step in range(6))
