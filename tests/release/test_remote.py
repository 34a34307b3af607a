"""Uploads, to a local server that speaks S3: what arrives is proven by its hash, and every refusal is explained."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.errors import UsageError
from engine.release import remote
from engine.release.remote import Taken, client, parse, reach, upload
from tests.conftest import Typed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def silent(*_: object) -> None: ...


def put(s3: Any, file: tuple[Path, str], to: str, *names: str, read_back: bool = True) -> tuple[str, bool]:
    """Upload it under its own name, or the first of `names` that is free."""
    path, digest = file
    return upload(s3, path, parse(to), digest, names=names or (path.name,), read_back=read_back, progressed=silent)


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
        names=(path.name,),
        read_back=True,
        progressed=lambda task, n, of: heard.append((task, n)),
    )
    assert (url, sent) == ("s3://models/a/b/model_20261122.tar", True)
    assert s3.get_object(Bucket="models", Key="a/b/model_20261122.tar")["Body"].read() == path.read_bytes()
    assert ("upload", path.stat().st_size) in heard
    assert ("read back", path.stat().st_size) in heard


def test_the_same_file_is_not_sent_twice(s3: Any, file: tuple[Path, str]) -> None:
    assert put(s3, file, "s3://models/twice", read_back=False)[1]
    assert not put(s3, file, "s3://models/twice", read_back=False)[1]


def test_damage_in_the_store_is_found_by_reading_back(s3: Any, file: tuple[Path, str]) -> None:
    path, digest = file
    put(s3, file, "s3://models/damaged")
    wrong = b"\x00" * path.stat().st_size
    s3.put_object(Bucket="models", Key=f"damaged/{path.name}", Body=wrong, Metadata={"sha256": digest})
    with pytest.raises(UsageError, match="another hash"):
        put(s3, file, "s3://models/damaged")


def _body(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket="models", Key=key)["Body"].read())


def test_another_object_of_that_name_is_never_overwritten(s3: Any, file: tuple[Path, str]) -> None:
    s3.put_object(Bucket="models", Key="old/a.tar", Body=b"earlier")
    with pytest.raises(Taken, match=r"s3://models/old/a\.tar is there.*--output") as caught:
        put(s3, file, "s3://models/old", "a.tar")
    assert str(file[0]) in caught.value.message
    assert _body(s3, "old/a.tar") == b"earlier"
    url, sent = put(s3, file, "s3://models/old", "a.tar", "a-2.tar")
    assert (url, sent) == ("s3://models/old/a-2.tar", True)
    assert put(s3, file, "s3://models/old", "a.tar", "a-2.tar") == (url, False), "given again, it finds its own"
    assert _body(s3, "old/a.tar") == b"earlier"


@pytest.mark.parametrize("size", [1000, 9 << 20])
def test_an_object_that_appears_while_it_is_sent_stays(s3: Any, tmp_path: Path, size: int) -> None:
    """Both a single put and the end of a multipart upload are conditional."""
    content = os.urandom(size)
    path = tmp_path / "race.tar"
    path.write_bytes(content)
    key = f"race/{size}.tar"
    other = client(s3.meta.endpoint_url)

    def appear(**_: object) -> None:
        other.put_object(Bucket="models", Key=key, Body=b"theirs")

    for call in ("PutObject", "CompleteMultipartUpload"):
        s3.meta.events.register_first(f"before-call.s3.{call}", appear)
    with pytest.raises(Taken):
        put(s3, (path, hashlib.sha256(content).hexdigest()), "s3://models/race", f"{size}.tar")
    assert _body(s3, key) == b"theirs"


@pytest.mark.parametrize("size", [1000, 9 << 20])
def test_a_store_that_knows_no_conditions_still_takes_a_free_name_and_keeps_what_is_there(
    s3: Any, tmp_path: Path, size: int
) -> None:
    from botocore.awsrequest import AWSResponse

    content = os.urandom(size)
    path = tmp_path / "old.tar"
    path.write_bytes(content)
    file = path, hashlib.sha256(content).hexdigest()
    refused = []

    def refuse(request: Any, **_: object) -> AWSResponse | None:
        if request.headers.get("If-None-Match") is None:
            return None
        refused.append(request.url)
        body = b"<Error><Code>NotImplemented</Code><Message>A header is not implemented</Message></Error>"
        response = AWSResponse(request.url, 501, {}, None)
        response._content = body
        return response

    s3.meta.events.register("before-send.s3", refuse)
    assert put(s3, file, f"s3://models/plain-{size}")[1]
    assert refused, "it was asked for"
    s3.put_object(Bucket="models", Key=f"plain-{size}/taken.tar", Body=b"earlier")
    with pytest.raises(Taken):
        put(s3, file, f"s3://models/plain-{size}", "taken.tar")
    assert _body(s3, f"plain-{size}/taken.tar") == b"earlier"


def test_a_bucket_that_is_not_there_is_named(s3: Any, file: tuple[Path, str]) -> None:
    with pytest.raises(UsageError, match="s3://nowhere-at-all/model"):
        put(s3, file, "s3://nowhere-at-all")
    with pytest.raises(UsageError, match=r"s3://nowhere-at-all/a\.tar"):
        reach(s3, parse("s3://nowhere-at-all"), "a.tar")
    reach(s3, parse("s3://models"), "a.tar")


def test_a_store_that_is_not_there_is_told_before_anything_is_packed(
    s3: Any, file: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import EndpointConnectionError

    def refuse(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    monkeypatch.setattr(s3, "head_object", refuse)
    with pytest.raises(UsageError, match="could not be reached"):
        put(s3, file, "s3://models")
    with pytest.raises(UsageError, match="could not be reached"):
        reach(s3, parse("s3://models"), "a.tar")


def test_missing_credentials_are_told(s3: Any, file: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import NoCredentialsError

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(s3, "head_object", refuse)
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID"):
        put(s3, file, "s3://models")


def test_two_backups_of_a_day_under_one_prefix_are_two_objects(
    s3: Any, typed: Typed, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "model"
    shutil.copytree(finished_run, run, ignore=shutil.ignore_patterns("*.sock"))
    words = ("backup", run, "--checkpoints", "none", "--to", "s3://models/day", "--json")
    words = (*words, "--endpoint-url", s3.meta.endpoint_url)
    first = json.loads(typed(*words).out)
    again = json.loads(typed(*words).out)
    assert (again["archive"], again["url"], again["sent"], again["written"]) == (
        first["archive"],
        first["url"],
        False,
        False,
    ), "unchanged, it is the same backup"
    with (run / "events.jsonl").open("ab") as file:
        file.write(b'{"the run":"went on"}\n')
    second = json.loads(typed(*words).out)
    assert second["url"] != first["url"]
    for each in (first, second):
        there = _body(s3, each["url"].removeprefix("s3://models/"))
        assert hashlib.sha256(there).hexdigest() == each["sha256"]
        assert Path(each["archive"]).read_bytes() == there


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
