"""An engine in this process whose loop can be held at a chosen point, and engines and terminals as real processes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.run.client import Client
from engine.run.inbox import Order
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training.choose import Choice, choose
from engine.training.launch import Launch
from engine.training.main import run_engine
from states.commands import Command, Reply
from states.events import Event, RunFailed
from states.phases import ExitCode
from states.reducer import fold
from states.view import RunView
from tests.e2e.refusing import Refused, tree

PATIENCE_S = 60.0
STEP = "engine.training.memory.take_step"


@dataclass
class Bench:
    """Start a small run, act at points of it, look at what the journal says afterwards."""

    run: Path
    config: Path
    monkeypatch: pytest.MonkeyPatch
    replies: list[Reply] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def send(self, command: Command) -> None:
        """Send from another thread; returns once the engine has accepted, so what follows is after it."""
        accepted = threading.Event()

        def talk() -> None:
            reply = Client(RunDir(self.run)).send(command, PATIENCE_S, on_accepted=lambda _: accepted.set())
            self.replies.append(reply)
            accepted.set()

        thread = threading.Thread(target=talk)
        thread.start()
        self.threads.append(thread)
        assert accepted.wait(PATIENCE_S)

    def at(self, target: str, action: Callable[[], None], *, call: int = 1) -> None:
        """Do `action` just before the `call`-th call of `target` (dotted name), on the training thread."""
        module, name = target.rsplit(".", 1)
        owner = __import__(module, fromlist=[name])
        original = getattr(owner, name)
        calls = 0

        def held(*args: Any, **rest: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                action()
            return original(*args, **rest)

        self.monkeypatch.setattr(owner, name, held)

    def choose(self, *, window_s: float | None = None, **choice: Any) -> Launch:
        """Settle a start, with `window_s` in a window of so many seconds from now."""
        launch = choose(Choice(config=self.config, **choice))
        if window_s is None:
            return launch
        now = time.time()
        return replace(launch, window=replace(launch.window, opened_wall=now, deadline_wall=now + window_s))

    def go(self, **choice: Any) -> ExitCode:
        """Run to the end and collect every answer."""
        code = run_engine(self.choose(**choice), quiet=True)
        for thread in self.threads:
            thread.join(PATIENCE_S)
        for failure in self.events(RunFailed) if code == ExitCode.ERROR else ():
            print(failure.message, failure.traceback, sep="\n")  # shown with a test that did not expect it
        return code

    def go_until(self, call: int, target: str = STEP, **choice: Any) -> None:
        """Run until the `call`-th call of `target`, where a signal leaves a checkpoint to resume from."""
        # A patch of its own, undone here: undone at the end, it would bring back what the test had put there itself.
        with pytest.MonkeyPatch.context() as once:
            replace(self, monkeypatch=once).at(target, terminate, call=call)
            assert self.go(**choice) == ExitCode.INTERRUPTED

    def at_boundary(self, orders: Mapping[int, Sequence[Command]], *, signalled: int = 0) -> None:
        """Let these orders wait, and a signal have come, at step boundaries counted from 1 (before the first step)."""
        from engine.training import loop

        obey, boundary = loop.obey, 0

        def told(session: Any, trainer: Any) -> Any:
            nonlocal boundary
            boundary += 1
            for number, command in enumerate(orders.get(boundary, ())):
                order = Order(id=f"{command.name}-{boundary}-{number}", command=command, via="socket")
                session.orders.inbox.put(order)
            if boundary == signalled:
                terminate()
            return obey(session, trainer)

        self.monkeypatch.setattr(loop, "obey", told)

    def evaluations(self, losses: Iterable[float | None]) -> None:
        """Let the evaluations up to the last step have these losses, whatever the model says."""
        from engine.training import evaluating

        evaluate, told = evaluating.evaluate, iter(losses)
        self.monkeypatch.setattr(evaluating, "evaluate", lambda *args: replace(evaluate(*args), loss=next(told)))

    @property
    def view(self) -> RunView:
        """What a screen shows at the end."""
        return fold(read(RunDir(self.run).events))

    def events(self, *kinds: type[Any]) -> list[Event]:
        """The run's events of these kinds."""
        return [record.event for record in read(RunDir(self.run).events) if isinstance(record.event, kinds)]


def terminate() -> None:
    """What a host does before it takes the machine away."""
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: for tests of what a run does, not of what survives a power cut."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda _descriptor: None)


@pytest.fixture(scope="module")
def shared_bench(configured_at: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench whose run several tests look at, or copy to go on from."""
    home = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Bench(run=home / "run", config=configured_at(home), monkeypatch=monkeypatch)


@pytest.fixture
def bench(configured: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(run=tmp_path / "run", config=configured(), monkeypatch=monkeypatch)


def _load(name: str) -> ModuleType:
    """A helper beside this file: with importlib import mode the tests are no package to import it from."""
    spec = importlib.util.spec_from_file_location(f"e2e_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TERMINALS = _load("terminals")


@pytest.fixture
def terminals() -> ModuleType:
    """Helpers for real processes."""
    return TERMINALS


@pytest.fixture
def lasting(tmp_path: Path, tiny_base: Path, tiny_dataset: Path) -> Iterator[Callable[..., Any]]:
    """Configure a run that lasts until a test ends it; whatever engine is left at the end is killed."""
    runs: list[Any] = []

    def configure(*, at: Path | None = None, **training: Any) -> Any:
        home = tmp_path / f"lasting-{len(runs)}"
        path = (at or home) / "run"
        config = TERMINALS.lasting_config(home / "config", tiny_base, tiny_dataset, path, **training)
        runs.append(TERMINALS.Run(path=path, config=config))
        return runs[-1]

    yield configure
    for run in runs:
        run.kill()


@pytest.fixture
def terminal() -> Iterator[Callable[..., Any]]:
    """Open `run.py` in a terminal; those still open at the end are closed."""
    opened: list[Any] = []

    def open_terminal(*words: str | Path, columns: int = 80, rows: int = 24) -> Any:
        opened.append(TERMINALS.Terminal(*words, columns=columns, rows=rows))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(here: Path, configured: Callable[..., Path]) -> Path:
    """A working directory with a small configuration of its own, whose run goes to ./run."""
    shutil.copytree(configured(output_dir="run", num_train_epochs=1), here, dirs_exist_ok=True)
    return here


@pytest.fixture
def project_with_run(project: Path, finished_run: Path) -> Path:
    """The same with a finished run."""
    shutil.copytree(finished_run, project / "run")
    return project


@pytest.fixture
def config(configured: Callable[..., Path]) -> Path:
    return configured()


@pytest.fixture
def refused(typed: Callable[..., Any], tmp_path: Path, here: Path) -> Refused:
    """Type something that must be refused; the paragraph it got."""

    def type_in(*words: object, code: int) -> str:
        before = tree(tmp_path)
        said = typed(*words)
        assert said.code == code, said.err
        assert said.out == ""
        assert re.fullmatch(r"stint: [^\n]+[.`?]\n", said.err), "one paragraph, and a whole sentence"
        assert "Traceback" not in said.err
        assert tree(tmp_path) == before
        return said.err

    return type_in
