"""Where the control socket lies: paths too deep, folders that take none, leftovers of a killed engine."""

from __future__ import annotations

import dataclasses
import socket
import stat
from pathlib import Path

import pytest

from engine.run.client import Client
from engine.run.control import ControlServer
from engine.run.inbox import Inbox
from engine.run.rundir import EngineInfo, RunDir


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
