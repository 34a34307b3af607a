"""A backup back on disk. An archive is not trusted: not its names, its links, its sizes, nor its own list.

Only regular files that the list names, of the size and hash it states, are written; into a fresh folder, renamed when
all of it is there. A hostile archive leaves nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from configs.errors import DataError, UsageError
from engine.release.archive import LISTING, SCHEMA, Progress
from engine.release.staging import staged
from engine.release.sums import CHUNK
from states.text import one_line
from states.wording import size

_LISTING_LIMIT = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DAMAGE = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    ValueError,
    # A header that claims more than there can be.
    OverflowError,
    MemoryError,
)


def restore(archive: Path, target: Path, *, progressed: Progress) -> int:
    """Unpack `archive` into `target`, which must not exist; returns the number of files.

    Raises:
        UsageError: the archive or the place for it is not there.
        DataError: the archive is damaged, or is not what `backup` writes.
    """
    if not archive.is_file():
        raise UsageError(f"There is no backup {archive}. Name a file that `python run.py backup` wrote.")
    if target.exists():
        raise UsageError(f"{target} exists. A backup is restored into a folder of its own: name one that does not.")
    os.umask(0o077)
    with staged(target, "DIR") as folder:
        try:
            with tarfile.open(archive, "r:*") as tar:
                count = _unpack(tar, folder, archive, progressed)
        except _DAMAGE as error:
            raise DataError(f"{archive} is damaged: {one_line(str(error))}. Fetch it again.") from error
        except OSError as error:
            raise UsageError(
                f"{archive} could not be restored: {error.strerror or error}. Nothing was left."
            ) from error
    return count


def _unpack(tar: tarfile.TarFile, folder: Path, archive: Path, progressed: Progress) -> int:
    headers = iter(tar)
    top, wanted = _listing(tar, headers, archive)
    needed, free = sum(each["bytes"] for each in wanted.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(f"{archive} holds {size(needed)} and {folder.parent} has {size(free)} free. Make room first.")
    written: set[str] = set()
    for header in headers:
        name = _safe_name(header, top, archive)
        if name not in wanted:
            raise DataError(f"{archive} holds {one_line(name, 80)!r}, which its list does not name. It was changed.")
        if name in written or header.size != wanted[name]["bytes"]:
            raise DataError(f"{archive} holds {one_line(name, 80)!r} twice or in another size. It was changed.")
        progressed("restore", len(written), len(wanted))
        _write(tar, header, folder / name, wanted[name]["sha256"], archive)
        written.add(name)
    while tar.fileobj is not None and tar.fileobj.read(CHUNK):
        pass  # what compression says at its very end about all of it
    missing = sorted(wanted.keys() - written)
    if missing:
        raise DataError(f"{archive} lacks {one_line(missing[0], 80)!r} ({len(missing)} files in all). Fetch it again.")
    progressed("restore", len(written), len(wanted))
    return len(written)


def _listing(
    tar: tarfile.TarFile, headers: Iterator[tarfile.TarInfo], archive: Path
) -> tuple[str, dict[str, dict[str, Any]]]:
    """The archive's top folder and what it claims to hold, checked for form."""
    header = next(headers, None)
    other = DataError(f"{archive} is not a backup of Stint: it does not begin with {LISTING}.")
    if header is None or not header.isreg() or header.size > _LISTING_LIMIT:
        raise other
    top, _, name = header.name.partition("/")
    content = tar.extractfile(header)
    if name != LISTING or content is None:
        raise other
    try:
        told = orjson.loads(content.read())
        files = told["files"]
        if type(told["schema"]) is int and told["schema"] > SCHEMA:
            raise DataError(f"{archive} was written by a newer Stint. Restore it with that one.")
        for entry, facts in files.items():
            if type(facts["bytes"]) is not int or facts["bytes"] < 0 or not _SHA256.fullmatch(facts["sha256"]):
                raise DataError(f"{archive}: its list is damaged at {one_line(entry, 80)!r}. Fetch it again.")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{archive}: its list is damaged. Fetch it again.") from error
    return top, files


def _safe_name(header: tarfile.TarInfo, top: str, archive: Path) -> str:
    path = PurePosixPath(header.name)
    parts = path.parts
    odd = not header.isreg() or path.is_absolute() or len(parts) < 2 or parts[0] != top
    if odd or any(part in {"..", "."} or "\\" in part or "\0" in part for part in parts):
        raise DataError(
            f"{archive} holds {one_line(header.name, 80)!r}, which is not a plain file inside its folder. It was not "
            "written by Stint, and nothing of it was restored."
        )
    return "/".join(parts[1:])


def _write(tar: tarfile.TarFile, header: tarfile.TarInfo, path: Path, sha256: str, archive: Path) -> None:
    content = tar.extractfile(header)
    assert content is not None  # a regular file
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        while piece := content.read(CHUNK):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        raise DataError(f"{archive}: {one_line(header.name, 80)!r} is damaged: its hash differs. Fetch it again.")
