"""docker export and docker cp: the files of a container's image."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from casstore.store import Store
from tests.server.engine.engine import Engine, Reply
from tests.transfer.building import docker_archive, member, tar_of_members

STAT = "X-Docker-Container-Path-Stat"


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> Any:
    made = member(name, kind, link)
    made.mode, made.mtime = mode, 1_000_000_000
    return made


@pytest.fixture(autouse=True)
def box(engine: Engine, casstore_store: Store) -> Iterator[None]:
    layer = tar_of_members(
        (entry("etc", tarfile.DIRTYPE, mode=0o755), b""),
        (entry("etc/motd"), b"hello"),
        (entry("etc/link", tarfile.SYMTYPE, "motd", 0o777), b""),
        (entry("abs", tarfile.SYMTYPE, "/etc", 0o777), b""),
        (entry("lost", tarfile.SYMTYPE, "nowhere", 0o777), b""),
        (entry("su", mode=0o4755), b"x"),
        (entry("tmp", tarfile.DIRTYPE, mode=0o1777), b""),
    )
    casstore_store.load(io.BytesIO(docker_archive({"layers": [layer], "tags": ["a:1"]})))
    engine.post("/containers/create?name=box", b'{"Image":"a:1"}')
    yield
    engine.call("DELETE", "/containers/box")


def names(reply: Reply) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(reply.body)) as tar:
        return [one.name + ("/" if one.isdir() else "") for one in tar]


def stat(engine: Engine, path: str) -> dict[str, Any]:
    reply = engine.call("HEAD", f"/containers/box/archive?path={path}")
    assert reply.status == 200, reply.body
    assert reply.body == b""
    document: dict[str, Any] = json.loads(base64.b64decode(reply.headers.get(STAT)))
    return document


def test_an_export_has_every_file(engine: Engine) -> None:
    reply = engine.call("GET", "/containers/box/export")

    assert reply.headers.get("Content-Type") == "application/x-tar"
    assert {name.strip("./") for name in names(reply)} >= {"etc/motd", "abs", "su", "tmp"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/motd", ["motd"]),
        ("etc/motd", ["motd"]),
        ("/etc", ["etc/", "etc/link", "etc/motd"]),
        ("/etc/link", ["link"]),
        ("/abs/motd", ["motd"]),
    ],
)
def test_a_path_is_a_tar_by_its_last_name(engine: Engine, path: str, expected: list[str]) -> None:
    reply = engine.call("GET", f"/containers/box/archive?path={path}")

    assert reply.headers.get("Content-Type") == "application/x-tar"
    assert names(reply) == expected


def test_a_file_is_described_beside_the_tar(engine: Engine) -> None:
    reply = engine.call("GET", "/containers/box/archive?path=/etc/motd")

    assert json.loads(base64.b64decode(reply.headers.get(STAT))) == stat(engine, "/etc/motd")


def test_a_stat_is_that_of_go(engine: Engine) -> None:
    assert stat(engine, "/etc/motd") == {
        "name": "motd",
        "size": 5,
        "mode": 0o644,
        "mtime": "2001-09-09T01:46:40Z",
        "linkTarget": "",
    }


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/etc", 1 << 31 | 0o755),
        ("/su", 1 << 23 | 0o755),
        ("/tmp", 1 << 31 | 1 << 20 | 0o777),
        ("/etc/link", 1 << 27 | 0o777),
    ],
)
def test_modes_are_those_of_go(engine: Engine, path: str, mode: int) -> None:
    assert stat(engine, path)["mode"] == mode


@pytest.mark.parametrize(
    ("path", "target"), [("/etc/link", "/etc/motd"), ("/abs", "/etc"), ("/lost", "/nowhere")]
)
def test_a_link_tells_where_it_leads_to_in_the_container(
    engine: Engine, path: str, target: str
) -> None:
    assert stat(engine, path)["linkTarget"] == target


def test_a_slash_at_the_end_follows_a_link(engine: Engine) -> None:
    assert stat(engine, "/abs/")["mode"] == 1 << 31 | 0o755


@pytest.mark.parametrize("path", ["/nosuch", "/etc/motd/x", "/etc/motd/", "/lost/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_path_that_is_not_there_is_not_found(engine: Engine, method: str, path: str) -> None:
    reply = engine.call(method, f"/containers/box/archive?path={path}")

    assert reply.status == 404
    assert reply.message == f"Could not find the file {path} in container box"


def test_a_path_is_needed(engine: Engine) -> None:
    assert engine.refusal("GET", "/containers/box/archive") == (400, "missing parameter: path")
