"""Journal lines and control messages: what is written comes back, and damage never passes for a record."""

from __future__ import annotations

import dataclasses
import math
import zlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from states.codec import (
    MAX_MESSAGE_BYTES,
    BadLine,
    decode,
    decode_command,
    decode_reply,
    encode,
    encode_command,
    encode_reply,
)
from states.commands import COMMANDS, Checkpoint, Finish, Reply
from states.events import (
    KINDS,
    EvalCompleted,
    GpuDevice,
    GpuSampled,
    MessageLogged,
    PhaseChanged,
    Record,
    RunConfigured,
    RunPlanned,
    StepCompleted,
    TaskStarted,
    Unknown,
)
from states.phases import Phase, Reason, Trigger

STEP = StepCompleted(step=7, epoch=0.5, loss=1.25, lr=3e-4, grad_norm=0.1, tokens=9, targets=5, step_s=0.4, data_s=0.0)
PHASE = PhaseChanged(old=Phase.MAIN, new=Phase.FINALIZE, trigger=Trigger.FINISH, step=7, reason=Reason.DEADLINE)
GPU = GpuSampled(devices=(GpuDevice(index=0, uuid="GPU-1", name="H100", memory_used=7, memory_total=80),))
SAMPLES = [
    STEP,
    PHASE,
    GPU,
    TaskStarted(task="read dataset", detail="gr\u00fcn"),
    Unknown("sun.rose", {"at": [5.5, None]}),
]


def record(event, seq=0):
    return Record(seq=seq, wall=1.7e9 + 0.125, mono=12.5, event=event)


def signed(body: dict) -> bytes:
    """A line with a good checksum around any content."""
    rest = orjson.dumps(body)[1:]
    return b'{"crc":"%08x",%s\n' % (zlib.crc32(rest), rest)


def line_of(kind: str, data: dict) -> bytes:
    return signed({"seq": 3, "wall": 1.0, "mono": 2.0, "kind": kind, "data": data})


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_comes_back_from_its_line_as_it_was(kind):
    @settings(max_examples=40)
    @given(st.from_type(KINDS[kind]))
    def identity(event):
        line = encode(record(event))
        assert decode(line) == record(event)
        assert encode(decode(line)) == line

    identity()


@given(st.from_type(Record))
def test_a_record_is_one_line_of_json_that_any_tool_reads(original):
    line = encode(original)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    raw = orjson.loads(line)
    assert list(raw) == ["crc", "seq", "wall", "mono", "kind", "data"]
    assert raw["kind"] == original.event.kind
    assert decode(line) == original


def test_the_checksum_covers_everything_after_it():
    line = encode(record(STEP))
    assert line.startswith(b'{"crc":"')
    assert line[8:16] == b"%08x" % zlib.crc32(line[18:-1])
    assert line[18:].startswith(b'"seq":0,')


@pytest.mark.parametrize("event", SAMPLES)
def test_every_single_flipped_bit_is_detected(event):
    line = encode(record(event))
    for place in range(len(line) * 8):
        damaged = bytearray(line)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(BadLine):
            decode(bytes(damaged))


@pytest.mark.parametrize("event", SAMPLES)
def test_every_truncation_is_detected(event):
    line = encode(record(event))
    for length in range(len(line) - 1):
        with pytest.raises(BadLine):
            decode(line[:length])
    assert decode(line[:-1]) == decode(line)


@given(st.binary(max_size=300))
def test_garbage_is_a_bad_line(garbage):
    with pytest.raises(BadLine):
        decode(garbage)


@pytest.mark.parametrize("garbage", [b"", b"\n", b"\0" * 512, b"{}\n", b"[]\n", b'{"crc":"00000000",}\n'])
def test_leftovers_of_a_power_cut_are_bad_lines(garbage):
    with pytest.raises(BadLine):
        decode(garbage)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"seq": "1", "wall": 1.0, "mono": 1.0, "kind": "a", "data": {}},
        {"seq": 1, "wall": None, "mono": 1.0, "kind": "a", "data": {}},
        {"seq": 1, "wall": 1.0, "mono": 1.0, "kind": 3, "data": {}},
        {"seq": 1, "wall": 1.0, "mono": 1.0, "kind": "a", "data": []},
    ],
)
def test_a_line_without_its_envelope_is_bad_even_when_its_checksum_is_good(body):
    with pytest.raises(BadLine):
        decode(signed(body))


def test_an_unknown_kind_is_kept_whole_and_can_be_written_again():
    line = line_of("moon.landed", {"crew": 3, "sea": "tranquility"})
    assert decode(line).event == Unknown("moon.landed", {"crew": 3, "sea": "tranquility"})
    assert encode(decode(line)) == line


def test_a_field_of_a_later_version_is_ignored():
    data = dataclasses.asdict(STEP) | {"phase_of_the_moon": "full"}
    assert decode(line_of("step.completed", data)).event == STEP


def test_a_field_that_an_earlier_version_lacks_takes_its_default():
    event = decode(line_of("task.started", {"task": "read"})).event
    assert event == TaskStarted(task="read", detail="", total=None)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("phase.changed", {"old": "main", "new": "orbit", "trigger": "finish", "step": 1}),
        ("step.completed", {"step": 1}),
        ("step.completed", dataclasses.asdict(STEP) | {"loss": "low"}),
        ("step.completed", dataclasses.asdict(STEP) | {"step": True}),
        ("gpu.sampled", {"devices": {}}),
        ("gpu.sampled", {"devices": [7]}),
        ("data.prepared", {"domains": []}),
    ],
)
def test_an_intact_line_that_does_not_fit_this_version_is_kept_as_unknown(kind, data):
    assert decode(line_of(kind, data)).event == Unknown(kind, data)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_written_as_null(value):
    event = decode(encode(record(dataclasses.replace(STEP, loss=value, grad_norm=value)))).event
    assert event == dataclasses.replace(STEP, loss=None, grad_norm=None)
    evaluation = EvalCompleted(
        step=1, scope="full", loss=value, targets=1, eval_s=1.0, best=False, domains={"a": value, "b": 1.0}
    )
    assert decode(encode(record(evaluation))).event.domains == {"a": None, "b": 1.0}


@pytest.mark.parametrize(
    "event",
    [
        dataclasses.replace(STEP, lr=math.nan),
        dataclasses.replace(STEP, step_s=math.inf, loss=None),
        RunConfigured(config={"x": [math.nan]}, config_hash="", opened_wall=0.0, deadline_wall=None, reserve_s=0.0),
        Unknown("some.thing", {"x": math.inf}),
        dataclasses.replace(STEP, tokens=2**70),
        dataclasses.replace(STEP, loss=object()),
    ],
)
def test_what_a_line_cannot_hold_is_refused_with_the_name_of_the_event(event):
    with pytest.raises(ValueError, match=event.kind):
        encode(record(event))


def test_a_clock_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="clocks"):
        encode(Record(seq=0, wall=math.nan, mono=0.0, event=STEP))


def test_control_characters_in_any_text_are_spelled_out():
    logged = decode(encode(record(MessageLogged(level="warning", logger="x", text="\x1b[2J\x9b\u202ehi\x7f")))).event
    assert logged.text == "\\x1b[2J\\x9b\\u202ehi\\x7f"
    configured = RunConfigured(
        config={"na\x07me": ["\x1b"]}, config_hash="", opened_wall=0.0, deadline_wall=None, reserve_s=0.0
    )
    assert decode(encode(record(configured))).event.config == {"na\\x07me": ["\\x1b"]}


def test_text_that_is_not_even_unicode_can_be_written():
    logged = decode(encode(record(MessageLogged(level="error", logger="x", text="file \udcff.json")))).event
    assert logged.text == "file \\udcff.json"


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_floats_survive_bit_for_bit(value, parts):
    parts = {f"p{number}": part for number, part in enumerate(parts.values())}
    event = RunPlanned(
        profile="balanced",
        source="assumed",
        planned_steps=1,
        warmup_steps=0,
        epochs=value,
        steps_per_epoch=1,
        conversations_per_step=1,
        tokens_per_step=1,
        eval_every=1,
        tokens_per_s=value,
        estimated_s=parts,
    )
    back = decode(encode(record(event))).event
    assert back.epochs.hex() == value.hex()
    assert {name: part.hex() for name, part in back.estimated_s.items()} == {
        name: part.hex() for name, part in parts.items()
    }


@pytest.mark.parametrize("command", [cls() for cls in COMMANDS.values()] + [Finish(cooldown_s=90.0)])
def test_every_command_comes_back_from_its_line(command):
    assert decode_command(encode_command("c1", command)) == ("c1", command)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"make it so\n", "not JSON"),
        (b"[]\n", "object"),
        (b'{"command":"pause"}\n', "id"),
        (b'{"id":"","command":"pause"}\n', "id"),
        (b'{"id":"%s","command":"pause"}\n' % (b"x" * 65), "id"),
        (b'{"id":"a\\u001b","command":"pause"}\n', "id"),
        (b'{"id":"1","command":"reboot"}\n', "reboot is no command; there are checkpoint"),
        (b'{"id":"1","command":["pause"]}\n', "no command"),
        (b'{"id":"1","command":"pause","args":{"hard":true}}\n', "pause takes no hard"),
        (b'{"id":"1","command":"pause","args":[]}\n', "args"),
        (b'{"id":"1","command":"finish","args":{"cooldown_s":"soon"}}\n', "float expected"),
        (b'{"id":"1","command":"finish","args":{"cooldown_s":-1}}\n', "cooldown_s"),
        (b'{"id":"1","command":"finish","args":{"cooldown_s":1e999}}\n', "JSON"),
        (b'{"id":"' + b"x" * MAX_MESSAGE_BYTES + b'"}\n', "longer"),
    ],
)
def test_a_bad_command_is_refused_with_the_problem_named(line, problem):
    with pytest.raises(BadLine, match=problem):
        decode_command(line)


@given(st.binary(max_size=200))
def test_no_bytes_on_the_socket_raise_anything_but_bad_line(garbage):
    with pytest.raises(BadLine):
        decode_command(garbage)
    with pytest.raises(BadLine):
        decode_reply(garbage)


def test_a_command_without_arguments_may_leave_them_out():
    assert decode_command(b'{"id":"9","command":"checkpoint"}\n') == ("9", Checkpoint())


@pytest.mark.parametrize("reply", [Reply(id="1", state="accepted"), Reply(id="2", state="applied", data={"step": 5})])
def test_every_reply_comes_back_from_its_line(reply):
    assert decode_reply(encode_reply(reply)) == reply


def test_a_reply_that_no_peer_would_read_is_refused():
    with pytest.raises(ValueError, match="longer"):
        encode_reply(Reply(id="1", state="applied", detail="x" * MAX_MESSAGE_BYTES))
