"""The control socket: an engine answers every command once and for all, and no client can disturb it."""

from __future__ import annotations

import dataclasses
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.run import control, protocol
from engine.run.bus import Bus
from engine.run.client import Client, Unreachable
from engine.run.control import ControlServer
from engine.run.inbox import Inbox
from engine.run.journal import read
from engine.run.protocol import Peer
from engine.run.rundir import EngineInfo, RunDir
from engine.run.signals import Flags
from states.codec import MAX_MESSAGE_BYTES, encode_command
from states.commands import Abort, Checkpoint, Finish, Pause, Reply


@pytest.fixture
def inbox(bus: Bus) -> Inbox:
    return Inbox(bus, Flags())


@pytest.fixture
def server(rundir: RunDir, engine_info: EngineInfo, inbox: Inbox) -> Iterator[ControlServer]:
    with (
        rundir.hold_lock(),
        ControlServer(rundir, engine_info, inbox, lambda: {"phase": "main", "step": 7}) as server,
    ):
        yield server


@pytest.fixture
def loop(inbox: Inbox) -> Iterator[None]:
    """A training loop that applies everything but a pause, which it refuses."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            inbox.wait(0.01)
            while (order := inbox.take()) is not None:
                if isinstance(order.command, Pause):
                    inbox.rejected(order, "already paused")
                else:
                    inbox.applied(order, step=7, detail="checkpoint-7")

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join()


DIALLED: list[socket.socket] = []


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while DIALLED:
        DIALLED.pop().close()


def dial(rundir: RunDir) -> socket.socket:
    engine = rundir.read_engine()
    assert engine is not None
    raw = socket.socket(socket.AF_UNIX)
    DIALLED.append(raw)
    raw.settimeout(5.0)
    raw.connect(engine.socket)
    return raw


def lines_of(raw: socket.socket) -> Callable[[], Any]:
    file = raw.makefile("rb")

    def line() -> Any:
        try:
            said = file.readline()
        except ConnectionResetError:
            said = b""  # hung up on while bytes of ours were still unread
        return orjson.loads(said) if said else None

    return line


def kinds(rundir: RunDir) -> list[str]:
    return [record.event.kind for record in read(rundir.events)]


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


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


@pytest.mark.usefixtures("server", "loop")
def test_a_line_that_is_too_long_ends_only_its_own_connection(rundir: RunDir) -> None:
    raw = dial(rundir)
    line = lines_of(raw)
    assert line()["hello"] == 1
    raw.sendall(b"x" * (MAX_MESSAGE_BYTES + 1))
    assert line()["state"] == "rejected"
    assert line() is None
    assert Client(rundir).send(Checkpoint(), 5.0).state == "applied"


@pytest.mark.usefixtures("server", "loop")
def test_garbage_is_answered_a_few_times_and_then_hung_up_on(rundir: RunDir) -> None:
    raw = dial(rundir)
    line = lines_of(raw)
    line()
    said = 0
    for junk in (b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b'{"id": 1}\n', b'{"id":"a","command":"rm"}\n', b"null\n"):
        raw.sendall(junk)
        reply = line()
        assert reply["state"] == "rejected"
        assert reply["detail"]
        said += 1
    raw.sendall(b"{\n")
    assert line()["state"] == "rejected"
    assert line() is None
    assert said == protocol.MAX_BAD_LINES - 1
    assert Client(rundir).send(Checkpoint(), 5.0).state == "applied"


@pytest.mark.usefixtures("server", "loop")
def test_a_command_outside_the_catalogue_is_refused_with_the_list(rundir: RunDir) -> None:
    raw = dial(rundir)
    line = lines_of(raw)
    line()
    raw.sendall(b'{"id":"x1","command":"shell","args":{"run":"id"}}\n')
    assert "checkpoint" in line()["detail"]


@pytest.mark.usefixtures("server", "loop")
def test_a_flood_is_hung_up_on(rundir: RunDir) -> None:
    raw = dial(rundir)
    lines_of(raw)()
    flood = b"".join(b'{"id":"s%d","command":"status"}\n' % i for i in range(50_000))
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        raw.sendall(flood)
    assert Client(rundir).send(Checkpoint(), 5.0).state == "applied"


@pytest.mark.usefixtures("server", "loop")
def test_those_who_connect_and_say_nothing_do_not_keep_others_out_for_long(
    rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HANDSHAKE_S", 0.3)
    silent = [dial(rundir) for _ in range(protocol.MAX_CLIENTS - 1)]
    dripping = dial(rundir)
    assert lines_of(dripping)()["hello"] == 1
    dripping.sendall(b'{"id":')
    with pytest.raises(Unreachable):
        Client(rundir).connect()
    assert eventually(lambda: reachable(rundir))
    assert Client(rundir).send(Checkpoint(), 5.0).state == "applied"
    for raw in (*silent, dripping):
        raw.close()


def reachable(rundir: RunDir) -> bool:
    try:
        Client(rundir).connect()
    except Unreachable:
        return False
    return True


@pytest.mark.usefixtures("server", "loop")
def test_a_viewer_may_stay_silent_and_a_command_in_two_pieces_is_whole(
    rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HANDSHAKE_S", 0.2)
    monkeypatch.setattr(protocol, "IDLE_S", 0.2)
    raw = dial(rundir)
    line = lines_of(raw)
    line()
    raw.sendall(protocol.attach())
    time.sleep(1.5)
    command = encode_command("c1", Checkpoint())
    raw.sendall(command[:20])
    time.sleep(0.05)
    raw.sendall(command[20:])
    assert line()["state"] == "accepted"
    assert line()["state"] == "applied"


@pytest.mark.usefixtures("server", "loop")
def test_a_peer_that_reads_nothing_is_dropped_and_delays_nobody(rundir: RunDir) -> None:
    raw = dial(rundir)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for i in range(50):
        raw.sendall(encode_command(f"s{i}", Checkpoint()))
    assert Client(rundir).send(Checkpoint(), 5.0).state == "applied"


@pytest.mark.usefixtures("server")
def test_another_user_is_hung_up_on_without_a_word(rundir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control.protocol, "peer_of", lambda _: Peer(pid=1, uid=os.geteuid() + 12345))
    raw = dial(rundir)
    assert raw.recv(100) == b""


def test_a_client_does_not_talk_to_another_users_engine(
    server: ControlServer, rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server
    monkeypatch.setattr(protocol.Peer, "trusted", property(lambda self: threading.current_thread().name == "control"))
    with pytest.raises(Unreachable, match="another user"):
        Client(rundir).connect()


def test_a_run_directory_too_deep_for_a_socket_gets_one_in_a_private_folder(
    tmp_path: Path, engine_info: EngineInfo, inbox: Inbox
) -> None:
    deep = RunDir(tmp_path / ("a-long-experiment-name" * 6))
    deep.create()
    with deep.hold_lock(), ControlServer(deep, engine_info, inbox, lambda: {"step": 1}):
        card = deep.read_engine()
        assert card is not None
        folder = Path(card.socket).parent
        assert folder != deep.path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert Client(deep).status() == {"step": 1}
    assert not folder.exists()


def test_where_no_socket_can_be_made_the_run_goes_on(
    rundir: RunDir,
    engine_info: EngineInfo,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(self: socket.socket, address: str) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with rundir.hold_lock(), ControlServer(rundir, engine_info, inbox, dict):
        card = rundir.read_engine()
        assert card is not None
        assert card.socket == ""
    assert "only signals" in caplog.text


def test_a_socket_that_a_killed_engine_left_is_replaced(rundir: RunDir, engine_info: EngineInfo, inbox: Inbox) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(rundir.socket))
    stale.close()
    rundir.write_engine(dataclasses.replace(engine_info, socket=str(rundir.socket)))
    with rundir.hold_lock(), ControlServer(rundir, engine_info, inbox, lambda: {"step": 1}):
        assert Client(rundir).status() == {"step": 1}


def test_a_file_in_the_sockets_place_is_not_deleted(rundir: RunDir, engine_info: EngineInfo, inbox: Inbox) -> None:
    rundir.socket.write_text("mine")
    with rundir.hold_lock(), ControlServer(rundir, engine_info, inbox, lambda: {"step": 1}):
        assert Client(rundir).status() == {"step": 1}
    assert rundir.socket.read_text() == "mine"


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
