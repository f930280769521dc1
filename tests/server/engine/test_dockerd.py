"""Both are asked the same: a real dockerd and the store; the answers are compared.

A difference that is meant stands in DIFFERENCES with its reason, and for people in docs/server.md.
Where there is no dockerd, or nobody may start one, these tests are skipped.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from casstore.server.engine.options import EngineOptions
from casstore.store import Store
from tests.architecture.sources import ROOT
from tests.server.engine.engine import Engine

SAVED = ROOT / "fixtures" / "images" / "docker-save"
VERSION = "/v1.41"
ID = "an ID"  # of a container or of what was just made, which is another in each

# A place in an answer, as fnmatch has it, and why it may differ.
DIFFERENCES = {
    "*.Casstore": "our own key",
    "*.GraphDriver.*": "nothing is unpacked: a store has no paths of layers to tell",
    "*.RepoTags[[]*": "in the order in which the names were given; dockerd sorts them by text",
    "*.Deleted": "a layer is named by the digest of its blob; dockerd has chain IDs",
    "POST /images/load*": "the texts are casstore's, and dockerd names paths of its own",
    "GET /images/nosuch/json.message": "newer dockerds say it as we do",
    "GET /images/Bad/json.message": "newer dockerds say it as we do",
    "GET /images/*nosuch*.message": "dockerd 20.10 leaves the tag out",
    "POST /images/create?fromSrc*.status": "the image is made now, and its ID tells when",
    "* /containers/*.Id": ID,
    "* /containers/*.ImageID": ID,
    "* /containers/*.Image": ID,
    "* /containers/*.Hostname": ID,
    "* /containers/*.Created": ID,
    "* /containers/*.message": ID,
    "GET /system/df.Containers*": ID,
    "GET /system/df.Images[[]0].Id": "it was made now, as said above",
    "* /containers/*.Command": "a lease keeps no command",
    "* /containers/*.Path": "a lease keeps no command",
    "* /containers/*.Config.*": "a lease keeps no config: the image's is shown",
    "* /containers/*.HostConfig.*": "nothing is run, so nothing is configured for it",
    "* /containers/*.NetworkSettings.*": "there are no networks",
    "* /containers/*.Driver": "the store's own",
    "* /containers/*.*Path": "there are no such files",
    "GET /system/df.BuildCache": "an empty list, as newer dockerds have it",
    "GET /info.*": "what each engine tells of itself",
    "GET /version.*": "what each engine tells of itself",
    "GET /networks": "there are none, not even those that dockerd always has",
    "GET /nodes.message": "a store cannot join a swarm, and does not advise it",
    "DELETE /images/z:1*.message": ID,
}
# Calls whose status may differ: dockerd 20.10 has 500 for some mistakes of the caller.
STATUSES = {
    "GET /images/json?filters=bad-glob": "newer dockerds have 400 too",
    "POST /images/shop/committed:1/tag?repo=": "newer dockerds have 400 too",
    "POST /images/shop/committed:1/tag?repo=Bad": "newer dockerds have 400 too",
    "POST /images/shop/committed:1/tag?repo=a:b:c": "newer dockerds have 400 too",
    "POST /images/create": "it is the caller's mistake",
    "POST /containers/create": "it is the caller's mistake",
}


class Answer(NamedTuple):
    status: int
    type: str
    document: Any


class Dockerd:
    """A daemon of its own, which makes no networks."""

    def __init__(self, directory: Path, program: str) -> None:
        self.socket = str(directory / "s")
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        flags = [f"--{flag}={directory / name}" for flag, name in places.items()]
        environment = os.environ | {"PATH": f"{Path(program).parent}:{os.environ['PATH']}"}
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(
            [program, f"--host=unix://{self.socket}", *flags, "--bridge=none", "--iptables=false",
             "--ip-forward=false", "--storage-driver=overlay2"],
            stdout=self._log, stderr=self._log, env=environment,
        )  # fmt: skip
        for _ in range(600):
            if self._process.poll() is not None:
                break
            try:
                if self.ask("GET", "/_ping").status == 200:
                    return
            except OSError:
                time.sleep(0.1)
        self.stop()
        pytest.skip("dockerd does not start here: " + (directory / "log").read_text()[-300:])

    def ask(self, method: str, target: str, body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("docker", timeout=60)
        headers = {"Content-Type": "application/json"} if body[:1] == b"{" else {}
        with closing(connection):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.socket)
            connection.request(method, quote(VERSION + target, safe="/?&=:%@+,;"), body, headers)
            answer = connection.getresponse()
            content = answer.read()
        return Answer(answer.status, answer.getheader("Content-Type") or "", parsed(content))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._log.close()


def parsed(content: bytes) -> Any:
    """A document, or the documents of a stream; text where it is neither."""
    try:
        return [json.loads(line) for line in content.splitlines()]
    except ValueError:
        return content.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    program = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip("dockerd is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root may start dockerd")
    daemon = Dockerd(tmp_path_factory.mktemp("d"), program)
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Store(tmp_path_factory.mktemp("store") / "store") as store:
        with store.session.change(create=True) as change:
            change.commit()
        yield Engine(store, EngineOptions(release="20.10"))


def filters(**values: list[str]) -> str:
    return "filters=" + quote(json.dumps(values))


def archive(name: str) -> bytes:
    return (SAVED / f"{name}.tar").read_bytes()


CREATE = b'{"Image":"z:1","Cmd":["sh"]}'
# In this order, for each goes on from what the last one left. A call, its body, and what stands
# for the call in the tables above where it is long.
CALLS: tuple[tuple[str, str, bytes, str], ...] = (
    *(("POST", "/images/load?quiet=1", archive(one), "") for one in ("commit", "single", "tags")),
    ("GET", "/_ping", b"", ""),
    ("GET", "/images/json", b"", ""),
    ("GET", "/images/json?all=1", b"", ""),
    ("GET", f"/images/json?{filters(dangling=['true'])}", b"", ""),
    ("GET", f"/images/json?{filters(reference=['shop/*'])}", b"", ""),
    ("GET", f"/images/json?{filters(label=['how'])}", b"", ""),
    ("GET", f"/images/json?{filters(before=['shop/committed:1'])}", b"", ""),
    ("GET", f"/images/json?{filters(nosuch=['x'])}", b"", ""),
    ("GET", f"/images/json?{filters(dangling=['x'])}", b"", ""),
    ("GET", f"/images/json?{filters(before=['nosuch'])}", b"", "GET /images/json?nosuch"),
    ("GET", f"/images/json?{filters(reference=['['])}", b"", "GET /images/json?filters=bad-glob"),
    ("GET", "/images/shop/committed:1/json", b"", ""),
    ("GET", "/images/shop/single:1.0/json", b"", ""),
    ("GET", "/images/nosuch/json", b"", ""),
    ("GET", "/images/Bad/json", b"", ""),
    ("GET", "/images/shop/single:1.0/history", b"", ""),
    ("GET", "/images/nosuch/history", b"", ""),
    ("GET", "/images/nosuch/get", b"", ""),
    ("GET", "/images/get?names=nosuch", b"", "GET /images/get?nosuch"),
    ("POST", "/images/shop/committed:1/tag?repo=new&tag=1", b"", ""),
    ("POST", "/images/nosuch/tag?repo=new&tag=1", b"", ""),
    ("POST", "/images/shop/committed:1/tag?repo=Bad", b"", ""),
    ("POST", "/images/shop/committed:1/tag?repo=a:b:c", b"", ""),
    ("POST", "/images/shop/committed:1/tag?repo=", b"", ""),
    ("DELETE", "/images/nosuch", b"", ""),
    ("DELETE", "/images/Bad", b"", ""),
    ("DELETE", "/images/9b2e777a498d", b"", ""),
    ("DELETE", "/images/shop/imported:1", b"", ""),
    ("POST", "/images/load", b"abc", ""),
    ("POST", "/images/create?fromSrc=-&repo=z&tag=1", archive("rootfs"), ""),
    ("POST", "/images/create?fromSrc=-&changes=run+x", archive("rootfs"), ""),
    ("POST", "/images/create", b"", ""),
    ("POST", "/containers/create?name=box", CREATE, ""),
    ("POST", "/containers/create?name=box", CREATE, ""),
    ("POST", "/containers/create?name=-x", CREATE, ""),
    ("POST", "/containers/create", b'{"Image":"nosuch","Cmd":["sh"]}', ""),
    ("POST", "/containers/create", b"", ""),
    ("GET", "/containers/json", b"", ""),
    ("GET", "/containers/json?all=1", b"", ""),
    ("GET", f"/containers/json?{filters(nosuch=['x'])}", b"", ""),
    ("GET", "/containers/box/json", b"", ""),
    ("GET", "/containers/nosuch/json", b"", ""),
    ("GET", "/containers/box/changes", b"", ""),
    ("DELETE", "/images/z:1", b"", ""),
    ("GET", "/system/df", b"", ""),
    ("GET", "/info", b"", ""),
    ("GET", "/version", b"", ""),
    ("DELETE", "/containers/nosuch", b"", ""),
    ("DELETE", "/containers/box", b"", ""),
    ("DELETE", "/images/z:1", b"", ""),
    ("GET", "/networks", b"", ""),
    ("GET", "/networks/nosuch", b"", ""),
    ("GET", "/volumes", b"", ""),
    ("GET", "/volumes/nosuch", b"", ""),
    ("GET", "/plugins", b"", ""),
    ("GET", "/plugins/nosuch/json", b"", ""),
    ("GET", "/nodes", b"", ""),
    ("GET", "/exec/nosuch/json", b"", ""),
    ("GET", "/nothing", b"", ""),
    ("POST", "/containers/prune", b"", ""),
    ("POST", "/networks/prune", b"", ""),
    ("POST", "/volumes/prune", b"", ""),
    ("POST", "/build/prune", b"", ""),
    ("POST", "/images/prune", b"", ""),
    ("DELETE", "/images/shop/single:1.0", b"", ""),
    ("DELETE", "/images/tags/a:1?force=1", b"", ""),
)


def differences(theirs: Any, ours: Any, place: str, met: set[str]) -> Iterator[str]:
    """Where two documents differ, each as `place: theirs | ours`, but where that is meant.

    `met` gets what was meant, and differs.
    """
    meant = [pattern for pattern in DIFFERENCES if fnmatchcase(place, pattern)]
    if meant:
        met.update(meant if theirs != ours else ())
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            yield from differences(
                theirs.get(key, "not there"), ours.get(key, "not there"), f"{place}.{key}", met
            )
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            where = place if place.count(".") == 0 and len(theirs) == 1 else f"{place}[{number}]"
            yield from differences(one, other, where, met)
    elif theirs != ours:
        yield f"{place}: {theirs!r} | {ours!r}"


def test_the_answers_are_those_of_dockerd(dockerd: Dockerd, engine: Engine) -> None:
    found: list[str] = []
    met: set[str] = set()
    for method, target, body, short in CALLS:
        call = short or f"{method} {target}"
        theirs = dockerd.ask(method, target, body)
        reply = engine.call(method, VERSION + target, body)
        ours = Answer(reply.status, reply.headers.get("Content-Type"), parsed(reply.body))
        if theirs.status != ours.status and call not in STATUSES:
            found.append(f"{call}: status {theirs.status} | {ours.status} {ours.document}")
        if theirs.type != ours.type and ours.status != 204:
            found.append(f"{call}: type {theirs.type} | {ours.type}")
        if call not in STATUSES:
            found += differences(theirs.document, ours.document, call, met)

    assert not found, "\n".join(found)
    assert met == DIFFERENCES.keys(), "a difference that is none any more"
