"""A backup in S3-compatible storage: uploaded in parts, then proven to be there by its hash; it replaces nothing.

Newer clients send checksums by default that several S3-compatible stores refuse; ours are sent only where a store asks
for them, and the SHA-256 of the whole file travels as metadata.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from engine.release.archive import Progress
from engine.release.sending import send
from engine.release.sums import CHUNK
from states.text import one_line

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
HASH = "sha256"
"""Name of the metadata entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket and what comes before the file's name in it."""

    bucket: str
    prefix: str

    def key(self, name: str) -> str:
        """Of an object."""
        return f"{self.prefix.strip('/')}/{name}" if self.prefix.strip("/") else name

    def url(self, name: str) -> str:
        """Of an object, as a person writes it."""
        return f"s3://{self.bucket}/{self.key(name)}"


def parse(url: str) -> Place:
    """Read `s3://bucket/prefix`; raises `UsageError`."""
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageError(f"{one_line(url)!r} is no place in S3. Write it as s3://bucket/prefix.")
    return Place(bucket=match[1], prefix=match[2] or "")


def client(endpoint: str | None) -> Any:
    """An S3 client with the credentials that the environment or ~/.aws holds; raises `UsageError`."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise UsageError("Uploading needs boto3: `pip install -e '.[s3]'` brings it.") from error
    settings = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"max_attempts": 5, "mode": "standard"},
        connect_timeout=10,
        read_timeout=60,
    )
    with _told("the store"):
        return boto3.client("s3", endpoint_url=endpoint, config=settings)


class Taken(UsageError):  # noqa: N818  (what was found)
    """An object of that name is there, and it is another one."""


def reach(s3: Any, place: Place, name: str) -> None:
    """Ask the store about an object, so that a wrong bucket or key is told before hours of packing.

    Raises `UsageError`. Whether it may be written only writing tells.
    """
    from botocore.exceptions import ClientError

    with _told(place.url(name)):
        if _recorded(s3, place.bucket, place.key(name)) is not None:
            return
        try:
            s3.head_bucket(Bucket=place.bucket)
        except ClientError as error:
            # An object is not found in a bucket that is not there either; other answers prove nothing.
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                raise


def upload(
    s3: Any, path: Path, place: Place, sha256: str, *, names: Sequence[str], read_back: bool, progressed: Progress
) -> tuple[str, bool]:
    """Upload a file and make sure of it; returns its URL and whether it had to be sent.

    It gets the first of `names` that is free or holds the same size and hash; in the latter case nothing is sent. With
    `read_back` all of it is fetched and hashed; else size and recorded hash are compared, which a store that lost bytes
    could still answer. An object that is there is never replaced.

    Raises:
        Taken: other objects have all of `names`.
        UsageError: the store cannot be reached, refuses, or does not hold what was sent.
    """
    for name in names:
        try:
            return _upload(s3, path, place, name, sha256, read_back=read_back, progressed=progressed)
        except Taken:
            if name == names[-1]:
                raise
    raise AssertionError("no name to upload under")


def _upload(
    s3: Any, path: Path, place: Place, name: str, sha256: str, *, read_back: bool, progressed: Progress
) -> tuple[str, bool]:
    key, url, mine = place.key(name), place.url(name), (path.stat().st_size, sha256)
    with _told(url):
        there, sent = _recorded(s3, place.bucket, key), False
        if there is None:
            sent = send(s3, path, place.bucket, key, {HASH: sha256}, lambda done: progressed("upload", done, mine[0]))
            there = _recorded(s3, place.bucket, key)
        if sent and there != mine:
            raise UsageError(
                f"{url} is not what was sent: its size or recorded hash differs. Look at it, remove it there, and give "
                "the same command again."
            )
        if there != mine:
            raise Taken(
                f"{url} is there and is another object, which is not overwritten. Name this one otherwise with "
                f"--output, or give another prefix with --to. The backup is on this disk, as {path}."
            )
        if read_back and _hash(s3, place.bucket, key, mine[0], progressed) != sha256:
            raise UsageError(
                f"{url} reads back with another hash than the backup's, so the store has damaged it. Remove it there "
                f"and upload {path} again."
            )
    return url, sent


def _recorded(s3: Any, bucket: str, key: str) -> tuple[int, str] | None:
    """Size and hash that the store has for an object; None where there is none."""
    from botocore.exceptions import ClientError

    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return None
        raise
    return int(head["ContentLength"]), str(head.get("Metadata", {}).get(HASH, ""))


def _hash(s3: Any, bucket: str, key: str, size: int, progressed: Progress) -> str:
    digest, seen = hashlib.sha256(), 0
    for piece in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK):
        digest.update(piece)
        seen += len(piece)
        progressed("read back", seen, size)
    return digest.hexdigest()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """The client's many errors as one paragraph."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise UsageError(
            "There are no credentials for the store. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in "
            "~/.aws; for a store that is not Amazon's also --endpoint-url."
        ) from error
    except ClientError as error:
        code = one_line(str(error.response.get("Error", {}).get("Code", "?")), 60)
        said = one_line(str(error.response.get("Error", {}).get("Message", "")), 200)
        raise UsageError(
            f"The store refused {what}: {code} {said}. Check bucket, rights and --endpoint-url; the backup itself is "
            "on this disk."
        ) from error
    except (BotoCoreError, Boto3Error, ValueError) as error:
        raise UsageError(
            f"{what} could not be reached: {one_line(str(error), 300)}. The backup itself is on this disk."
        ) from error
