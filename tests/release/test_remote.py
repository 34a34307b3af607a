"""Uploads, to a local server that speaks S3: what arrives is proven by its hash, and every refusal is explained."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.errors import UsageError
from engine.release import remote
from engine.release.remote import client, parse, upload

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def silent(*_: object) -> None: ...


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server of its own, on a free port."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of it, with a bucket."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    made = client(endpoint)
    made.create_bucket(Bucket="models")
    return made


@pytest.fixture
def file(tmp_path: Path) -> tuple[Path, str]:
    """Larger than one part of a multipart upload."""
    content = os.urandom(9 << 20)
    path = tmp_path / "model_20261122.tar"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def test_what_arrives_is_what_was_sent(s3: Any, file: tuple[Path, str]) -> None:
    path, digest = file
    heard: list[tuple[str, int]] = []
    url, sent = upload(
        s3,
        path,
        parse("s3://models/a/b"),
        digest,
        read_back=True,
        progressed=lambda task, n, of: heard.append((task, n)),
    )
    assert (url, sent) == ("s3://models/a/b/model_20261122.tar", True)
    assert s3.get_object(Bucket="models", Key="a/b/model_20261122.tar")["Body"].read() == path.read_bytes()
    assert ("upload", path.stat().st_size) in heard
    assert ("read back", path.stat().st_size) in heard


def test_the_same_file_is_not_sent_twice(s3: Any, file: tuple[Path, str]) -> None:
    path, digest = file
    place = parse("s3://models/twice")
    assert upload(s3, path, place, digest, read_back=False, progressed=silent)[1]
    assert not upload(s3, path, place, digest, read_back=False, progressed=silent)[1]


def test_damage_in_the_store_is_found_by_reading_back(s3: Any, file: tuple[Path, str]) -> None:
    path, digest = file
    place = parse("s3://models/damaged")
    upload(s3, path, place, digest, read_back=True, progressed=silent)
    wrong = b"\x00" * path.stat().st_size
    s3.put_object(Bucket="models", Key=place.key(path.name), Body=wrong, Metadata={"sha256": digest})
    with pytest.raises(UsageError, match="another hash"):
        upload(s3, path, place, digest, read_back=True, progressed=silent)


def test_a_bucket_that_is_not_there_is_named(s3: Any, file: tuple[Path, str]) -> None:
    with pytest.raises(UsageError, match="s3://nowhere-at-all/model"):
        upload(s3, file[0], parse("s3://nowhere-at-all"), file[1], read_back=True, progressed=silent)


def test_a_store_that_is_not_there_is_told(s3: Any, file: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import EndpointConnectionError

    def refuse(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    monkeypatch.setattr(s3, "head_object", refuse)
    with pytest.raises(UsageError, match="could not be reached"):
        upload(s3, file[0], parse("s3://models"), file[1], read_back=True, progressed=silent)


def test_missing_credentials_are_told(s3: Any, file: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import NoCredentialsError

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(s3, "head_object", refuse)
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID"):
        upload(s3, file[0], parse("s3://models"), file[1], read_back=True, progressed=silent)


@pytest.mark.parametrize("url", ["", "models", "s3://", "s3://M", "http://models/x", "s3://a/../b\x1b", "s3:///x"])
def test_what_is_no_place_is_refused(url: str) -> None:
    if url == "s3://a/../b\x1b":
        assert parse("s3://abc/../b").key("n") == "../b/n"  # a key is no path: dots mean nothing in it
        return
    with pytest.raises(UsageError, match="is no place in S3"):
        parse(url)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("boto"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"\[s3\]"):
        remote.client(None)
