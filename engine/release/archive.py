"""A backup as one tar: the same files give the same bytes, and it is re-read, file by file, before it counts.

Names are sorted, times and owners are blank. Its first member lists every other with its hash, so that whoever restores
it can tell damage from content. Gzip is used only where a sample shows that it helps: trained weights hardly shrink.
"""

from __future__ import annotations

import contextlib
import filecmp
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from configs.errors import UsageError
from engine.release.contents import Member
from engine.release.sums import CHUNK, sha256_of

LISTING = "BACKUP.json"
SCHEMA = 1
_LEVEL = 1
"""Of gzip: higher levels take four times as long for a hundredth of the size."""
_WORTH = 0.9
_SAMPLE = 4 << 20

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A backup that was written and read back."""

    path: Path
    bytes: int
    sha256: str
    files: int
    content_bytes: int
    compressed: bool
    written: bool
    """False where the same archive was there already."""


def compresses(members: Sequence[Member]) -> bool:
    """Whether gzip would save more than a tenth, judged by the beginnings of the largest files."""
    largest = sorted(members, key=lambda member: member.path.stat().st_size, reverse=True)[:4]
    taken = []
    for member in largest:
        with member.path.open("rb") as file:
            taken.append(file.read(_SAMPLE // len(largest)))
    sample = b"".join(taken)
    return bool(sample) and len(zlib.compress(sample, _LEVEL)) < _WORTH * len(sample)


def write_archive(
    members: Sequence[Member], target: Path, *, top: str, compressed: bool, wished: bool = True, progressed: Progress
) -> Archived:
    """Write `members` under the folder `top` into `target`, read it back, and only then give it its name.

    No file is ever replaced. Where `target` is not what a person wished for, only a usual name, an archive of the same
    bytes there counts as this one, and beside one of other bytes this one has its hash in its name.

    Raises:
        UsageError: the target exists, the disk is full, or what was read back is not what was written.
    """
    if wished and target.exists():
        raise _taken(target)
    staged = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        listing = _listing(members, progressed)
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with _tar(file, compressed=compressed) as tar:
                body = orjson.dumps(listing, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
                tar.addfile(_header(f"{top}/{LISTING}", len(body)), io.BytesIO(body))
                for done, member in enumerate(members):
                    progressed("pack", done, len(members))
                    size = listing["files"][member.name]["bytes"]
                    with member.path.open("rb") as content:
                        tar.addfile(_header(f"{top}/{member.name}", size), content)
                progressed("pack", len(members), len(members))
            file.flush()
            os.fsync(file.fileno())
        _check(staged, listing, top, progressed)
        digest = sha256_of(staged)
        size = staged.stat().st_size
        path, written = _settle(
            staged, [target] if wished else [target.with_name(n) for n in names(target.name, digest)]
        )
    except OSError as error:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise UsageError(
            f"The backup {target} could not be written: {error.strerror or error}. Nothing is left of it; free space "
            "or name another place with --output."
        ) from error
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return Archived(
        path=path,
        bytes=size,
        sha256=digest,
        files=len(members),
        content_bytes=sum(each["bytes"] for each in listing["files"].values()),
        compressed=compressed,
        written=written,
    )


def names(usual: str, sha256: str) -> tuple[str, str]:
    """What an archive may be called: as usual, or with its hash where another one has that name."""
    ending = next(each for each in (".tar.gz", ".tar") if usual.endswith(each))
    return usual, f"{usual.removesuffix(ending)}-{sha256[:8]}{ending}"


def _settle(staged: Path, places: Sequence[Path]) -> tuple[Path, bool]:
    """Give a whole archive the first name that is free or has the same bytes; returns it and whether it was free."""
    for path in places:
        try:
            # Unlike a rename, a link never takes another file's place.
            os.link(staged, path)
        except FileExistsError:
            if not (path.is_file() and filecmp.cmp(staged, path, shallow=False)):
                continue
            free = False
        except OSError:
            # A file system without links.
            if path.exists():
                raise
            staged.rename(path)
            return path, True
        else:
            free = True
        staged.unlink()
        return path, free
    raise _taken(places[-1])


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} exists, and a backup never takes another file's place. Name another with --output.")


def _listing(members: Sequence[Member], progressed: Progress) -> dict[str, Any]:
    files = {}
    for done, member in enumerate(members):
        progressed("hash", done, len(members))
        files[member.name] = {"bytes": member.path.stat().st_size, "sha256": sha256_of(member.path)}
    progressed("hash", len(members), len(members))
    return {"schema": SCHEMA, "files": files}


@contextlib.contextmanager
def _tar(file: IO[bytes], *, compressed: bool) -> Iterator[tarfile.TarFile]:
    if not compressed:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            yield tar
        return
    # Neither a name nor a time in the header: the same content gives the same file.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, 0
    return header


def _check(path: Path, listing: dict[str, Any], top: str, progressed: Progress) -> None:
    """Read an archive and compare it with its list. Raises `UsageError`."""
    seen = 0
    wanted = listing["files"]
    with tarfile.open(path, "r:*") as tar:
        for header in tar:
            name = header.name.removeprefix(f"{top}/")
            if name == LISTING:
                continue
            progressed("verify", seen, len(wanted))
            content = tar.extractfile(header)
            digest = hashlib.sha256()
            while content is not None and (piece := content.read(CHUNK)):
                digest.update(piece)
            if name not in wanted or digest.hexdigest() != wanted[name]["sha256"]:
                raise UsageError(f"{name} changed while it was packed, or the disk is failing. Run `backup` again.")
            seen += 1
    if seen != len(wanted):
        raise UsageError(
            f"The backup holds {seen} of {len(wanted)} files; the disk may be failing. Run `backup` again."
        )
    progressed("verify", seen, seen)
