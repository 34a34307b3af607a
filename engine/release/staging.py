"""A folder that is whole or not there: made beside its place under a hidden name, renamed when it is all written.

A full disk, or a place that cannot be written, is told in one paragraph, whatever library met it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import UsageError
from states.text import one_line


@contextmanager
def staged(target: Path, where: str = "--output-dir") -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends; if it does not end well, nothing is left.

    Args:
        target: the folder to make; it must not exist.
        where: the option or word that names it, for the message.

    Raises:
        UsageError: it cannot be made or written. What else the block raises passes.
    """
    folder: Path | None = None
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=target.absolute().parent, prefix=f".{target.name}."))
        yield folder
        folder.rename(target)
    except BaseException as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        why = _disk(error)
        if why is None:
            raise
        raise UsageError(
            f"{target} could not be written: {why}. Nothing is left of it; free space or name another place with "
            f"{where}."
        ) from error


def _disk(error: BaseException) -> str | None:
    """What the file system says; None for an error that is not its."""
    if isinstance(error, OSError):
        return error.strerror or one_line(str(error))
    from safetensors import SafetensorError

    # It wraps the error of the file system in words of its own.
    return one_line(str(error)) if isinstance(error, SafetensorError) else None
