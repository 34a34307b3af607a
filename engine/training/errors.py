"""Errors of a training run that a person can act on."""

from __future__ import annotations

from configs.errors import UserError


class Diverged(UserError):
    """The loss or the gradient stayed non-finite."""


class OutOfMemory(UserError):
    """A bin does not fit on the device even at its smallest."""
