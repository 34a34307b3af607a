"""A file that cannot be used is refused in one paragraph that says where and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.document import MAX_BYTES, read
from configs.errors import ConfigError
from states.phases import ExitCode

Write = Callable[..., Path]

BAD = {
    "empty": (b"", "1:1", "empty"),
    "only comments": (b"// nothing\n", "1:1", "empty"),
    "a list": (b"\n [1]", "2:2", "one object"),
    "a number": (b"7", "1:1", "one object"),
    "byte order mark": (b"\xef\xbb\xbf{}", "1:1", "byte order mark"),
    "utf-16": ("{}".encode("utf-16"), "1:1", "UTF-16"),
    "bad utf-8": (b'{\n "a": "\xc3\xa9 \xff"}', "2:10", "not UTF-8"),
    "too deep": (b"[" * 100_000, "1:65", "nested"),
    "too deep objects": (b'{"a":' * 100_000, "1:321", "nested"),
    "unclosed": (b'{"a": [1, 2', "1:12", "not closed"),
    "unclosed text": (b'{"a": "x\n}', "1:9", "not closed on its line"),
    "single quotes": (b"{'a': 1}", "1:2", "double quotes"),
    "hash comment": (b'{\n# x\n"a": 1}', "2:1", "begin with //"),
    "missing comma": (b'{"a": 1\n "b": 2}', "2:2", "comma is missing"),
    "missing colon": (b'{"a" 1}', "1:6", "':'"),
    "NaN": (b'{"a": NaN}', "1:7", "finite"),
    "Infinity": (b'{"a": -Infinity}', "1:8", "finite"),
    "overflowing float": (b'{"a": 1e999}', "1:7", "infinity"),
    "python": (b'{"a": True}', "1:7", "small letters"),
    "too many digits": (b'{"a": [1, 18446744073709551616]}', "1:11", "64 bits"),
    "repeated key": (b'{"a": 1,\n "b": {"c": 1,\n  "c": 2}}', "3:3", "first is on line 2"),
    "lone surrogate": (b'{"a": "\\ud800"}', "1:8", "not valid JSON"),
    "unclosed comment": (b'{"a": 1} /* x', "1:10", "never closed"),
    "two documents": (b"{}{}", "1:3", "after document"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_at_its_line_and_column(case: str, write: Write) -> None:
    raw, place, says = BAD[case]
    write(safety=raw)
    with pytest.raises(ConfigError) as caught:
        read(Path("safety_config.json"))
    assert caught.value.message.startswith(f"safety_config.json:{place}: ")
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_file_too_large_for_a_configuration_is_not_parsed(write: Write) -> None:
    write(safety=b" " * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        read(Path("safety_config.json"))


def test_what_is_no_file_is_refused_without_waiting_for_it(write: Write) -> None:
    write()
    os.mkfifo("pipe.json")
    Path("folder.json").mkdir()
    Path("loop.json").symlink_to("loop.json")
    for name, says in {
        "pipe.json": "not a regular file",
        "folder.json": "Is a directory",
        "loop.json": "cannot be read",
        "absent.json": "No such file",
        "nul\0.json": "cannot be read",
    }.items():
        with pytest.raises(ConfigError, match=says):
            read(Path(name))


def test_a_message_never_carries_what_drives_a_terminal(write: Write) -> None:
    write(safety='{"\\u001b[31mred\u202e": 1, "\\u001b[31mred\u202e": 2}')
    with pytest.raises(ConfigError) as caught:
        read(Path("safety_config.json"))
    assert "\x1b" not in caught.value.message
    assert "\u202e" not in caught.value.message
    assert "\\x1b[31mred\\u202e" in caught.value.message
