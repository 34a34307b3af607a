"""No client can disturb an engine: garbage, floods, silence, deafness, and other users."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from engine.run import control, protocol
from engine.run.client import Client, Unreachable
from engine.run.control import ControlServer
from engine.run.protocol import Peer
from engine.run.rundir import RunDir
from states.codec import MAX_MESSAGE_BYTES, encode_command
from states.commands import Checkpoint
from tests.run.dialling import dial, eventually, lines_of


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
