"""A registry that answers nearly right: pulls from it, and what must come of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from random import Random

import pytest

from casstore.registry import answer, connection, http, routes, wire
from tests.property import trees
from tests.property.inputs import KINDS, seeds
from tests.property.mutation import bitten, document_of, garbled, reworded
from tests.property.phrases import TOKENS
from tests.property.victim import Kind, Victim
from tests.registry.servers import Proxy, Reply, Request

PATH = re.compile(r"/v2/(?P<name>.+)/(?P<what>manifests|blobs|tags|referrers)/(?P<which>[^?]*)")
INDEX = "application/vnd.oci.image.index.v1+json"
STATUSES = (100, 200, 204, 206, 301, 307, 400, 401, 403, 404, 416, 429, 500, 503, 999)
# Nothing that leads to another machine.
PLACES = (
    "http://localhost:1/x", "file:///etc/passwd", "//", "http://[::1", "ftp://localhost/x", "/v2/",
    "https://localhost:1/", "http://localhost:99999/", "?", "#", "http://user:pw@localhost:1/x",
)  # fmt: skip
CHALLENGES = (
    'Bearer realm="http://HOST/token",service="a",scope="repository:a/b:pull"', "Basic realm=a",
    'Bearer realm="file:///etc/passwd"', 'Bearer realm="http://HOST/token', "Digest", "Bearer",
    'Bearer realm=http://HOST/token,,service=, realm="x"', 'Basic realm="a", Bearer realm="b"',
)  # fmt: skip
NUMBERS = ("-1", "0", "1", "99999999999999999999", "1, 2", "x", "0x10", "", "1e3", "+5")
RANGES = ("bytes 0-", "bytes 5-9/10", "bytes */*", "bytes 9-5/10", "items 0-1/2", "bytes 0-0/-1")
TYPES = (INDEX, "text/html", "", "application/json; charset=x", "a" * 5000, "application/vnd.oci.*")
HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Content-Length", NUMBERS), ("Content-Range", RANGES), ("Content-Type", TYPES),
    ("Docker-Content-Digest", ("sha256:" + "0" * 64, "sha256:x", "md5:0", "", "a" * 9999)),
    ("Location", PLACES), ("Www-Authenticate", CHALLENGES), ("Retry-After", (*NUMBERS, "soon")),
    ("Link", ('</v2/a/b/tags/list?last=x>; rel="next"', "<", '<file:///x>; rel="next"', ">;,<")),
    ("Transfer-Encoding", ("chunked", "gzip", "chunked, chunked")), ("Content-Encoding", ("gzip",)),
    ("Set-Cookie", ("a=b", "\xff")), ("Oci-Filters-Applied", ("artifactType", "")),
)  # fmt: skip


@functools.cache
def server() -> Proxy:
    """One for the process."""
    return Proxy()


def pull(victim: Victim, chance: Random) -> None:
    """Pull from it: what comes is whole and verified, or nothing has changed."""
    tree = chance.choice([one for one in seeds() if b"manifests" in one.get("index.json", b"")])
    if chance.random() < 0.6:
        tree = trees.changed(tree, chance)
    trees.write({name: data for name, data in tree.items() if ".." not in name and name[0] != "/"},
                victim.inputs / "layout")  # fmt: skip
    proxy = server()
    log: list[str] = []
    proxy.rules[:] = [_rule(tree, proxy.host, chance, log)]
    name = f"{proxy.host}/a/b"
    ways = (["pull", f"{name}:1"], ["pull", "-a", name], ["pull", "--all-platforms", f"{name}:1"],
            ["pull", "--referrers", f"{name}:1"],
            ["copy", "--plain-http", f"docker://{name}:1", "n:1"])  # fmt: skip
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(http, "LONGEST_WAIT", 0.01)
            patched.setattr(routes, "CONNECT_SECONDS", 2.0)
            for module in (connection, wire):
                patched.setattr(module, "READ_SECONDS", 2.0)
            patched.setattr(answer, "DOCUMENT_SECONDS", 9.0)
            victim.changes()  # what a pull has fetched stays for the next one
            victim.offer(*chance.choice(ways), leaves="ingest/")
    finally:
        (victim.inputs / "ANSWERS").write_text("\n".join(log) + "\n")
        proxy.seen.clear()


def _rule(
    tree: trees.Tree, host: str, chance: Random, log: list[str]
) -> Callable[[Request, object], Reply]:
    spoils = chance.random() * 0.5

    def answer(request: Request, _: object) -> Reply:
        reply = right(tree, request)
        if chance.random() < spoils:
            reply = spoilt(reply, host, chance)
        log.append(f"{request} -> {reply}"[:2000])
        return reply

    return answer


def right(tree: trees.Tree, request: Request) -> Reply:
    """What a good registry answers."""
    if request.path.startswith("/token"):
        return Reply(200, {}, b'{"token": "abc", "expires_in": 300}')
    found = PATH.match(request.path)
    if not found:
        return Reply(200, {}, b"{}")
    what, which = found["what"], found["which"]
    if what == "tags":
        return Reply(200, {}, b'{"name": "a/b", "tags": ["1", "2"]}')
    if what == "referrers":
        return Reply(200, {"Content-Type": INDEX}, tree.get("index.json", b""))
    if ":" not in which:
        which = _first(tree)
    data = tree.get(f"blobs/sha256/{which[7:]}")
    if data is None:
        return Reply(404, {}, b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no"}]}')
    if what == "manifests":
        value = document_of(data)
        kind = value.get("mediaType") if isinstance(value, dict) else None
        kind = kind if isinstance(kind, str) and kind.isascii() and kind.isprintable() else INDEX
        return Reply(200, {"Content-Type": kind, "Docker-Content-Digest": which}, data)
    begin = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    if begin and (at := int(begin[1])) < len(data):
        told = {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"}
        return Reply(206, told, data[at:])
    return Reply(200, {}, data)


def _first(tree: trees.Tree) -> str:
    value = document_of(tree.get("index.json", b""))
    items = value.get("manifests") if isinstance(value, dict) else None
    first = items[0] if isinstance(items, list) and items else None
    return str(first.get("digest")) if isinstance(first, dict) else ""


def spoilt(reply: Reply, host: str, chance: Random) -> Reply:
    """The answer with one to three things changed; the connection ends, so that nobody waits."""
    status, headers, body = reply.status, dict(reply.headers), reply.body
    cut = len(body)
    for _ in range(chance.randint(1, 3)):
        how = chance.randrange(6)
        if how == 0:
            status = chance.choice(STATUSES)
        elif how in (1, 2):
            name, values = chance.choice(HEADERS)
            value = chance.choice(values).replace("HOST", host)
            if chance.random() < 0.2:
                value = garbled((value,), TOKENS, chance).replace("\n", "\n ")
            headers[name] = value.encode("latin-1", "ignore").decode("latin-1").replace("\0", "")
            if name == "Location":
                status = chance.choice((301, 302, 307, 308))
            if name == "Www-Authenticate":
                status = 401
        elif how == 3:
            body = reworded(body, chance) if body else b"x"
        elif how == 4:
            body = bitten(body, chance) if body else b"\xff" * chance.choice((1, 5000, 5 << 20))
        else:
            cut = chance.randint(0, len(body))
    return Reply(status, headers, body, cut)


ALL_KINDS: tuple[Kind, ...] = (*KINDS, pull, pull)
