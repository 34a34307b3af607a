"""The three files of a report, each put in place whole: report.json first, which the pages are made of."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from configs.errors import UserError
from engine.report.compose import compose
from engine.report.document import Report, dump
from engine.report.gather import gather
from engine.report.html import render_html
from engine.report.pdf import render_pdf
from engine.run.rundir import RunDir

FILES: Final = {"json": "report.json", "html": "training_report.html", "pdf": "training_report.pdf"}
"""Format -> file, in the order in which they are written."""
_RENDER: Final[dict[str, Callable[[Report], bytes]]] = {
    "json": dump,
    "html": lambda report: render_html(report).encode(),
    "pdf": render_pdf,
}


class ReportError(UserError):
    """The report could not be written."""


def write_report(
    rundir: RunDir,
    output: Path | None = None,
    *,
    formats: Sequence[str] = tuple(FILES),
    name: str | None = None,
    wandb_run_id: str | None = None,
    ended: bool = False,
) -> tuple[Report, list[Path]]:
    """Tell the run in `rundir` and write it into `output`, by default the run directory; returns what was written.

    `name` takes the place of the usual file name, for one format;
    `ended` as for `gather`. Raises `ReportError` where the disk refuses, naming the file.
    """
    report = compose(gather(rundir, wandb_run_id=wandb_run_id, ended=ended))
    folder = rundir.path if output is None else output
    written = []
    for form in (each for each in FILES if each in formats):
        path = folder / (name or FILES[form])
        body = _RENDER[form](report)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _put(path, body)
        except OSError as error:
            raise ReportError(
                f"{path} cannot be written: {error.strerror}. Free space or name another folder with --output-dir."
            ) from error
        written.append(path)
    return report, written


def _put(path: Path, body: bytes) -> None:
    """Replace `path`, for its owner alone: a reader sees the old file or the new one."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
