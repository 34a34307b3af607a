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
from engine.checkpoint.errors import is_disk_error, is_full, reason
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
        if not (is_disk_error(error) or is_full(error)) or _elsewhere(error, folder):
            raise
        raise UsageError(
            f"{target} could not be written: {one_line(reason(error))}. Nothing is left of it; free "
            f"space or name another place with {where}."
        ) from error


def _elsewhere(error: BaseException, folder: Path | None) -> bool:
    """Whether it is another file that could not be read or written: its name says more than the folder's."""
    if folder is None or not isinstance(error, OSError):
        return False
    # A copy that fails names both its ends.
    named = [name for name in (error.filename, error.filename2) if isinstance(name, str)]
    return bool(named) and not any(Path(name).absolute().is_relative_to(folder) for name in named)
