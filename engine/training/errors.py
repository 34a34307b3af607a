"""Errors of a training run that a person can act on."""

from __future__ import annotations

from configs.errors import UserError


class Diverged(UserError):  # noqa: N818  (what happened)
    """The loss or the gradient stayed non-finite."""
