"""Errors that belong to the person at the keyboard: raised once where they are found, printed once by run.py.

The message is one whole paragraph that says what is wrong, where (file:line:col, row N, step) and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar

from states.phases import ExitCode
from states.text import clean


class UserError(Exception):
    """Something a person can put right; `message` is all they see, `exit_code` is what their script sees."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def __init__(self, message: str) -> None:
        # Messages quote file names, keys and values that others wrote: nothing in them may drive a terminal.
        self.message = clean(message.replace("\n", " "))
        super().__init__(self.message)


class ConfigError(UserError):
    """A configuration file, a preset or a named model cannot be used as it stands."""

    exit_code = ExitCode.USAGE


class UsageError(UserError):
    """The command line asks for something that cannot be done."""

    exit_code = ExitCode.USAGE


class DataError(UserError):
    """A data set cannot be read or is not what it claims to be."""

    exit_code = ExitCode.DATA
