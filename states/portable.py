"""What travels with a model or a report names a file, not where on somebody's machine it lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_PART: Final = r"[^\s/\\'\"`<>|,;:()\[\]{}]+"
_PATH: Final = re.compile(rf"(?<![\w.:/~-])(?:~|(?:/{_PART}))(?:/{_PART})+/?")
"""A path from the root or from home, of two parts and more; a web address, `n/s` and `owner/name` are none."""

_POSITION: Final = re.compile(r"(?::\d+){1,2}$")


def portable(text: str, known: Iterable[str] = ()) -> str:
    """The same text with each path from the root or from home as its last name.

    Args:
        text: a path, or words with paths in them.
        known: paths that are looked for as they are, since a name with a space ends a path that nobody knows.
    """
    for path in sorted({each.rstrip("/") for each in known if len(each) > 1}, key=len, reverse=True):
        if path.startswith(("/", "~/")):
            # With what lies below it, and only where a path can begin: "owner/data" holds no "/data".
            whole = rf"(?<![\w.:/~-]){re.escape(path)}((?:/{_PART})*)/?(?![\w-]|\.\w)"
            text = re.sub(whole, lambda match, path=path: _last(path + match[1]), text)  # type: ignore[misc]
    return _PATH.sub(lambda match: _last(match[0]), text)


def portable_name(path: str) -> str:
    """A path from the root or from home as its last name, anything else as it is; `path` is one as a whole."""
    return _last(path) if path.startswith(("/", "~/")) else path


def portable_any(value: Any, known: Iterable[str] = ()) -> Any:
    """The same for all texts of a JSON value; keys stay."""
    if isinstance(value, str):
        return portable(value, known)
    if isinstance(value, dict):
        return {name: portable_any(each, known) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [portable_any(each, known) for each in value]
    return value


def known_paths(value: Any) -> frozenset[str]:
    """The paths among the texts of a JSON value such as a configuration, also where a line and column follow."""
    if isinstance(value, str):
        path = _POSITION.sub("", value)
        return frozenset({path} if path.startswith(("/", "~/")) else ())
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return frozenset().union(*map(known_paths, value))
    return frozenset()


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1] or path
