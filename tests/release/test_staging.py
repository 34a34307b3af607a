"""A folder that is whole or not there, and what is said when it cannot be made."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from configs.errors import UsageError
from engine.release.staging import staged


def test_what_is_written_in_full_takes_its_place(tmp_path: Path) -> None:
    with staged(tmp_path / "there") as folder:
        (folder / "a").write_text("a")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("error", [OSError("odd"), Exception("No space left on device (os error 28)")], ids=str)
def test_a_disk_that_refuses_is_told_in_one_paragraph_whichever_library_met_it(tmp_path: Path, error) -> None:
    with pytest.raises(UsageError, match="there could not be written"), staged(tmp_path / "there"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_the_folder_that_was_to_be_made(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "x"))

    with (
        pytest.raises(UsageError, match="there could not be written: No space left"),
        staged(tmp_path / "there") as made,
    ):
        write(made)
    assert list(tmp_path.iterdir()) == []


def test_another_file_that_cannot_be_read_is_named_itself(tmp_path: Path) -> None:
    source = str(tmp_path / "run" / "training_report.pdf")
    with pytest.raises(PermissionError) as caught, staged(tmp_path / "there"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source)
    assert caught.value.filename == source
    assert list(tmp_path.iterdir()) == []


def test_a_defect_stays_a_defect(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "there"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
