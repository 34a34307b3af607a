"""What signals do to a real process, phase by phase."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ENGINE = """
import sys, time
from engine.run.signals import Cancelled, Flags, install
from states.phases import Phase

phase, flags = Phase(sys.argv[1]), Flags()
paused = False
with install(flags, phase=lambda: phase, paused=lambda: paused):
    try:
        print("ready", flush=True)
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                pass  # a library that swallows everything it can
            if flags.stop:
                print("stop", flush=True)
                flags.stop = False
            if flags.hurry:
                print("hurry", flush=True)
                flags.hurry = False
            while not flags.orders.empty():
                command = flags.orders.get()
                paused = {"pause": True, "unpause": False}.get(command.name, paused)
                print(command.name, flush=True)  # last: whoever reads it may signal at once
    except Cancelled as cancelled:
        print("cancelled", cancelled.reason, flush=True)
        time.sleep(0.3)
        print("cleaned up", flush=True)
        sys.exit(7)
"""


class Engine:
    def __init__(self, phase: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ENGINE, phase], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        return self.process.wait(timeout=10)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = Engine(request.param)
    yield engine
    engine.process.kill()
    engine.process.communicate()


@pytest.mark.parametrize("engine", ["setup", "init"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_training_a_signal_cancels_at_once(engine: Engine, number: signal.Signals) -> None:
    engine.process.send_signal(number)
    assert engine.line() == "cancelled signal"
    assert engine.line() == "cleaned up"
    assert engine.end() == 7


@pytest.mark.parametrize("engine", ["init"], indirect=True)
def test_a_second_term_does_not_break_the_clean_up(engine: Engine) -> None:
    engine.process.send_signal(signal.SIGTERM)
    assert engine.line() == "cancelled signal"
    engine.process.send_signal(signal.SIGTERM)
    assert engine.line() == "cleaned up"
    assert engine.end() == 7


@pytest.mark.parametrize("engine", ["warmup", "main"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_training_a_signal_only_asks_for_the_end(engine: Engine, number: signal.Signals) -> None:
    engine.process.send_signal(number)
    assert engine.line() == "stop"
    assert engine.process.poll() is None


@pytest.mark.parametrize("engine", ["finalize"], indirect=True)
def test_in_finalize_a_signal_hurries(engine: Engine) -> None:
    engine.process.send_signal(signal.SIGTERM)
    assert engine.line() == "hurry"


@pytest.mark.parametrize("engine", ["init", "main", "finalize"], indirect=True)
def test_a_second_interrupt_leaves_at_once(engine: Engine) -> None:
    engine.process.send_signal(signal.SIGINT)
    engine.line()
    time.sleep(0.15)
    engine.process.send_signal(signal.SIGINT)
    assert engine.end() == 130


@pytest.mark.parametrize("engine", ["main"], indirect=True)
def test_one_interrupt_delivered_twice_by_a_wrapper_is_one(engine: Engine) -> None:
    engine.process.send_signal(signal.SIGINT)
    assert engine.line() == "stop"
    engine.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert engine.process.poll() is None


@pytest.mark.parametrize("engine", ["main"], indirect=True)
def test_usr1_asks_for_a_checkpoint_and_usr2_pauses_and_goes_on(engine: Engine) -> None:
    for number, said in [
        (signal.SIGUSR1, "checkpoint"),
        (signal.SIGUSR2, "pause"),
        (signal.SIGUSR2, "unpause"),
        (signal.SIGUSR1, "checkpoint"),
    ]:
        engine.process.send_signal(number)
        assert engine.line() == said


@pytest.mark.parametrize("engine", ["init", "main"], indirect=True)
def test_a_hang_up_is_ignored(engine: Engine) -> None:
    engine.process.send_signal(signal.SIGHUP)
    engine.process.send_signal(signal.SIGUSR1)
    assert engine.line() == "checkpoint"


def test_an_operators_abort_reaches_a_run_that_is_still_loading() -> None:
    script = """
import threading, time
from engine.run.signals import Cancelled, Flags, install
from states.phases import Phase, Reason
flags, phase = Flags(), Phase.INIT
with install(flags, phase=lambda: phase, paused=lambda: False):
    threading.Timer(0.1, flags.cancel, (Reason.OPERATOR,)).start()
    try:
        time.sleep(30)
    except Cancelled as cancelled:
        print(cancelled.reason)
    phase = Phase.MAIN
    flags = Flags()
    flags.cancel(Reason.OPERATOR)
    time.sleep(0.05)
    print(flags.stop, flags.hurry)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["operator", "False False"]


def test_importing_and_leaving_the_block_touch_no_handler() -> None:
    from engine.run.signals import Flags, install
    from states.phases import Phase

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with install(Flags(), phase=lambda: Phase.MAIN, paused=lambda: False):
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert {number: signal.getsignal(number) for number in before} == before
