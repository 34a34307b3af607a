"""`status` and `send`: a run from the outside, for people and scripts. Typer functions that run.py registers."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from configs.errors import UsageError, UserError
from engine.run.client import Client, Unreachable
from engine.run.locate import find_run
from engine.run.protocol import FINAL_STATES
from engine.run.status import look, report, sentences
from states.commands import COMMANDS, Command, Finish, Reply, Status
from states.phases import ExitCode
from states.text import clean

_Run = Annotated[
    Path | None, typer.Argument(metavar="RUN", help="Run directory. Default: the output directory of this place.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def status(run: _Run = None, json: _Json = False) -> None:
    """Say how a run is doing: live, finished or lost."""
    rundir = find_run(run)
    state, view = look(rundir)
    now = time.time()
    facts = report(rundir, state, view, now)
    if json:
        _print(facts)
    else:
        _say(*sentences(facts, now))


def send(
    command: Annotated[str, typer.Argument(metavar="COMMAND", help=f"One of {', '.join(COMMANDS)}.")],
    run: _Run = None,
    cooldown: Annotated[
        float | None, typer.Option(help="With finish: bring the learning rate down within this many seconds first.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the engine to act.")] = 600.0,
    json: _Json = False,
) -> None:
    """Ask a running engine for something and wait until it has acted. Exits with 1 if it does not."""
    order = _command(command, cooldown)
    rundir = find_run(run)
    client = Client(rundir)

    def accepted(_: Reply) -> None:
        if not json:
            _say(f"{command}: accepted; the engine acts at its next step boundary")

    try:
        reply = client.send(order, timeout, on_accepted=accepted)
    except Unreachable as error:
        state, _ = look(rundir)
        raise UserError(f"{command}: {error} (the run is {state}).") from error
    if json:
        _print({"command": command, "id": reply.id, "state": reply.state, "detail": reply.detail, "data": reply.data})
    elif isinstance(order, Status):
        _print(reply.data)
    else:
        _say(_outcome(command, reply, timeout))
    if reply.state != "applied":
        raise typer.Exit(ExitCode.ERROR)


def _command(name: str, cooldown: float | None) -> Command:
    if name not in COMMANDS:
        raise UsageError(f"{name} is no command. The commands are: {', '.join(COMMANDS)}.")
    if cooldown is None:
        made: Command = COMMANDS[name]()
        return made
    if name != Finish.name:
        raise UsageError(f"--cooldown belongs to finish; {name} takes no option.")
    if not 0 <= cooldown < 1e9:
        raise UsageError("--cooldown is a number of seconds, 0 or more.")
    return Finish(cooldown_s=cooldown)


def _outcome(command: str, reply: Reply, timeout: float) -> str:
    if reply.state not in FINAL_STATES:
        return f"{command}: accepted, but not yet applied after {timeout:g} s; it still stands"
    return f"{command}: {reply.state}" + (f", {reply.detail}" if reply.detail else "")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{clean(line)}\n" for line in lines))
    sys.stdout.flush()


def _print(value: Any) -> None:
    _say(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
