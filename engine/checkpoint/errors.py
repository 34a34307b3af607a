"""What can go wrong with a checkpoint, in words for the person whose run it is."""

from __future__ import annotations

import errno

from configs.errors import UserError

FULL = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")
"""How a full disk reads when a library wraps the error in a type of its own."""


class CheckpointFailed(UserError):  # noqa: N818  (says what happened, as the event of the same fact does)
    """A save did not become durable. Nothing that was there before it is harmed, so a caller may train on."""


class CheckpointInvalid(UserError):  # noqa: N818  (a verdict on a directory)
    """A checkpoint's content is not what this run needs: damaged, of another model, or of a newer Stint."""


def is_disk_error(error: BaseException) -> bool:
    """Whether the disk refused, as opposed to a mistake in the program, which must stay visible."""
    from safetensors import SafetensorError  # not needed before a save fails, and not light

    return isinstance(error, (OSError, SafetensorError))


def is_full(error: BaseException) -> bool:
    """Whether the disk or the user's quota on it is full."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return True
    return any(sign in str(error) for sign in FULL)


def reason(error: BaseException) -> str:
    """The error in the words of the system, without numbers and paths."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
