"""One object put into S3 on the condition that its name is free: two uploads at once must not lose either.

The store is asked to hold the condition (`If-None-Match: *`, for a single put and for the end of a multipart upload).
The transfer library does not know that header for uploads, so it is added on the way. A store that says it cannot do
that gets the object without it, under a name that was free a moment before; one that ignores it does the same unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PUTS = ("before-call.s3.PutObject", "before-call.s3.CompleteMultipartUpload")
_EXISTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_UNKNOWN = frozenset({"NotImplemented", "501"})


def send(
    s3: Any, path: Path, bucket: str, key: str, metadata: Mapping[str, str], progressed: Callable[[int], None]
) -> bool:
    """Upload a file under a free key; False where an object appeared under it meanwhile, which stays.

    Args:
        s3: a boto3 client.
        path: what to send.
        bucket: where to.
        key: its name.
        metadata: kept with the object.
        progressed: hears the bytes sent so far.

    Raises:
        ClientError: the store refuses for another reason. Other errors of boto3 pass as well.
    """
    from botocore.exceptions import ClientError

    def put() -> None:
        done = 0

        def moved(count: int) -> None:
            nonlocal done
            done += count
            progressed(done)

        s3.upload_file(str(path), bucket, key, ExtraArgs={"Metadata": dict(metadata)}, Callback=moved)

    try:
        with _only_if_free(s3):
            put()
    except Exception as error:
        # The transfer library raises an error of its own while it handles the store's.
        found = error if isinstance(error, ClientError) else error.__context__
        code = str(found.response.get("Error", {}).get("Code", "")) if isinstance(found, ClientError) else ""
        if code in _EXISTS:
            return False
        if code not in _UNKNOWN:
            raise
        put()
    return True


@contextmanager
def _only_if_free(s3: Any) -> Iterator[None]:
    def condition(params: dict[str, Any], **_: object) -> None:
        params["headers"]["If-None-Match"] = "*"

    for each in _PUTS:
        s3.meta.events.register(each, condition)
    try:
        yield
    finally:
        for each in _PUTS:
            s3.meta.events.unregister(each, condition)
