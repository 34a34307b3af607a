"""The control socket: an engine answers every command once and for all."""

from __future__ import annotations

import dataclasses
import os
import stat
import threading
import time

import pytest

from engine.run import control
from engine.run.bus import Bus
from engine.run.client import Client, Unreachable
from engine.run.control import ControlServer
from engine.run.inbox import Inbox
from engine.run.journal import read
from engine.run.rundir import EngineInfo, RunDir
from engine.run.signals import Flags
from states.commands import Abort, Checkpoint, Finish, Pause, Reply
from tests.run.dialling import eventually, kinds


@pytest.mark.usefixtures("server")
def test_the_engine_introduces_itself_before_anything_is_asked(rundir: RunDir) -> None:
    hello = Client(rundir).connect()
    assert (hello.protocol, hello.run_id, hello.attempt, hello.pid) == (1, "run-1", 1, os.getpid())


@pytest.mark.usefixtures("server")
def test_the_socket_is_private_and_named_in_the_engine_card(rundir: RunDir) -> None:
    assert stat.S_IMODE(rundir.socket.stat().st_mode) == 0o600
    card = rundir.read_engine()
    assert card is not None
    assert card.socket == str(rundir.socket)


@pytest.mark.usefixtures("server", "loop")
def test_a_command_is_accepted_then_applied_and_both_are_events(rundir: RunDir) -> None:
    stages: list[str] = []
    reply = Client(rundir).send(Checkpoint(), 5.0, on_accepted=lambda reply: stages.append(reply.state))
    assert stages == ["accepted"]
    assert (reply.state, reply.detail, reply.data) == ("applied", "checkpoint-7", {"step": 7})
    assert kinds(rundir) == ["command.received", "command.applied"]


@pytest.mark.usefixtures("server", "loop")
def test_what_the_loop_refuses_comes_back_with_its_reason(rundir: RunDir) -> None:
    reply = Client(rundir).send(Pause(), 5.0)
    assert (reply.state, reply.detail) == ("rejected", "already paused")
    assert kinds(rundir) == ["command.received", "command.rejected"]


@pytest.mark.usefixtures("server", "loop")
def test_the_same_id_gets_the_same_answer_and_is_obeyed_once(rundir: RunDir) -> None:
    client = Client(rundir)
    first = client.send(Checkpoint(), 5.0, id="c1")
    again = client.send(Checkpoint(), 5.0, id="c1")
    assert first == again
    assert kinds(rundir) == ["command.received", "command.applied"]


@pytest.mark.usefixtures("server")
def test_waiting_again_with_the_same_id_hears_the_end(rundir: RunDir, inbox: Inbox) -> None:
    client = Client(rundir)
    assert client.send(Checkpoint(), 0.05, id="c1").state == "accepted"
    order = inbox.take()
    assert order is not None
    threading.Timer(0.1, inbox.applied, (order, 3)).start()
    assert client.send(Checkpoint(), 5.0, id="c1").state == "applied"


@pytest.mark.usefixtures("server")
def test_status_is_answered_although_the_loop_hangs(rundir: RunDir) -> None:
    assert Client(rundir).status() == {"phase": "main", "step": 7}
    assert kinds(rundir) == []


@pytest.mark.usefixtures("server")
def test_what_is_open_when_the_run_ends_expires_except_what_asked_for_the_end(rundir: RunDir, inbox: Inbox) -> None:
    replies: dict[str, Reply] = {}
    client = Client(rundir)
    threads = [
        threading.Thread(target=lambda c=command: replies.update({c.name: client.send(c, 5.0)}))
        for command in (Checkpoint(), Abort(), Finish(cooldown_s=60.0))
    ]
    for thread in threads:
        thread.start()
    assert eventually(lambda: kinds(rundir).count("command.received") == 3)
    inbox.expire_all(step=9)
    for thread in threads:
        thread.join()
    assert {name: reply.state for name, reply in replies.items()} == {
        "checkpoint": "expired",
        "abort": "applied",
        "finish": "applied",
    }
    assert client.send(Checkpoint(), 5.0).state == "expired"
    with client:
        client.connect(viewer=True)
    time.sleep(0.05)
    assert kinds(rundir)[6:] == [], "nothing is recorded once the run is over"


def test_the_last_answers_leave_before_the_engine_goes(rundir: RunDir, engine_info: EngineInfo, inbox: Inbox) -> None:
    replies: list[Reply] = []
    with rundir.hold_lock(), ControlServer(rundir, engine_info, inbox, dict):
        asking = threading.Thread(target=lambda: replies.append(Client(rundir).send(Abort(), 5.0)))
        asking.start()
        assert eventually(lambda: inbox.waiting)
        inbox.expire_all()
    asking.join()
    assert [reply.state for reply in replies] == ["applied"]
    assert not rundir.socket.exists()


def test_without_an_engine_a_client_says_so_at_once(rundir: RunDir, engine_info: EngineInfo) -> None:
    with pytest.raises(Unreachable, match="no engine listens"):
        Client(rundir).connect()
    rundir.write_engine(dataclasses.replace(engine_info, socket=str(rundir.path / "gone.sock")))
    with pytest.raises(Unreachable, match="no engine listens"):
        Client(rundir).send(Checkpoint(), 5.0)


@pytest.mark.usefixtures("server")
def test_viewers_are_recorded_as_they_come_and_go(rundir: RunDir) -> None:
    with Client(rundir) as viewer:
        viewer.connect(viewer=True)
        assert eventually(lambda: kinds(rundir) == ["client.attached"])
    assert eventually(lambda: kinds(rundir) == ["client.attached", "client.detached"])
    attached = next(read(rundir.events)).event
    assert (attached.pid, attached.uid) == (os.getpid(), os.geteuid())  # type: ignore[union-attr]


def test_signals_orders_are_recorded_when_the_loop_takes_them(bus: Bus, rundir: RunDir) -> None:
    flags = Flags()
    inbox = Inbox(bus, flags)
    flags.orders.put(Checkpoint())
    assert inbox.waiting
    order = inbox.take()
    assert order is not None
    assert (order.command, order.via, order.by) == (Checkpoint(), "signal", None)
    inbox.applied(order, step=3)
    assert kinds(rundir) == ["command.received", "command.applied"]


def test_more_orders_than_the_queue_holds_are_refused_and_not_recorded(bus: Bus, rundir: RunDir) -> None:
    inbox = Inbox(bus, Flags())
    replies: list[Reply] = []
    for i in range(70):
        inbox.put(control.Order(id=f"c{i}", command=Checkpoint(), via="socket"), replies.append)
    assert [reply.state for reply in replies].count("rejected") == 6
    assert len(kinds(rundir)) == 64


def test_answers_are_remembered_for_a_bounded_number_of_ids(bus: Bus) -> None:
    inbox = Inbox(bus, Flags())
    for i in range(1100):
        inbox.put(control.Order(id=f"c{i}", command=Checkpoint(), via="socket"))
        order = inbox.take()
        assert order is not None
        inbox.applied(order, step=i)
    assert len(inbox._cases) <= 1025
