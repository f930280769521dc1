"""What a bad connection and a bad registry can do to a pull: nothing but cost time."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.ingest import _Draft
from casstore.backends.local.leftovers import PART, remove_leftovers
from casstore.backends.resting import REST_SECONDS
from casstore.errors import CasstoreError, NotFound, Refused, RegistryError, StorageError
from casstore.files.durable import storage_error
from casstore.model.digest import Digest, sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.registry.failures import BrokenConnection
from casstore.registry.http import Transport
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.registry.conftest import NewStore, filled
from tests.registry.servers import Proxy, Reply, Request
from tests.transfer.building import OCI_LAYER, Layout, config_of, tar_of

HALF = 300_000


def noise(size: int) -> bytes:
    """Bytes that do not compress."""
    return b"".join(sha256(number.to_bytes(4)).raw for number in range(size // 32))


@pytest.fixture
def image(proxy: Proxy, new_store: NewStore, tmp_path: Path) -> tuple[str, Digest]:
    """The name of an image in the registry, and its one layer, large enough to be cut."""
    name = f"{proxy.host}/cut/{os.urandom(4).hex()}:1"
    layout = Layout()
    content = tar_of({"noise": noise(2 * HALF)})
    layer = layout.blob(content, OCI_LAYER)
    layout.publish(layout.manifest(layout.blob(config_of(content), "application/vnd.oci.image."
                                               "config.v1+json"), [layer]), name)  # fmt: skip
    origin = new_store()
    filled(origin, layout, tmp_path)
    origin.push(name)
    proxy.seen.clear()
    return name, Digest(layer["digest"])


def layer_rule(
    proxy: Proxy, layer: Digest, change: Callable[[Request, Reply], Reply], times: int = 10**6
) -> None:
    """Let `change` have the first answers to GET of the layer."""
    left = [times]

    def rule(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        if request.method == "GET" and layer.hex in request.path and left[0] > 0:
            left[0] -= 1
            return change(request, ask())
        return None

    proxy.rule(rule)


def cut(_: Request, reply: Reply) -> Reply:
    return reply._replace(cut=HALF)


def unchanged(store: Store) -> bool:
    return not store.session.backend.exists() or store.images(all=True) == []


def test_a_broken_connection_is_gone_on_with_where_it_broke(
    proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport
) -> None:
    name, layer = image
    layer_rule(proxy, layer, cut, times=1)
    store.pull(name, via=transport)

    ranges = [one.headers.get("range") for one in proxy.gets(layer.hex)]
    assert ranges == [None, f"bytes={HALF}-"]


def test_a_server_without_ranges_sends_it_all_again(
    proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport
) -> None:
    name, layer = image
    layer_rule(proxy, layer, cut, times=1)

    def forget_ranges(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        request.headers.pop("range", None)
        return None

    proxy.rules.insert(0, forget_ranges)
    store.pull(name, via=transport)

    assert store.get(name).layers == (layer,)


def test_a_pull_that_failed_is_gone_on_with_by_the_next(
    proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport
) -> None:
    name, layer = image
    layer_rule(proxy, layer, lambda _, reply: reply._replace(cut=0 if "Content-Range" in {
        key.title() for key in reply.headers} else HALF))  # fmt: skip
    with pytest.raises(BrokenConnection):
        store.pull(name, via=transport)
    assert unchanged(store)
    proxy.rules.clear()
    proxy.seen.clear()
    store.pull(name, via=transport)

    assert [one.headers.get("range") for one in proxy.gets(layer.hex)] == [f"bytes={HALF}-"]


def parts(store: Store) -> list[Path]:
    return list(Path(directory_of(store).ingest).glob(PART + "*"))


@pytest.fixture
def interrupted(
    proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport
) -> tuple[str, Digest]:
    """A pull that failed half-way, and a registry that is well again."""
    layer_rule(proxy, image[1], cut, times=1)
    layer_rule(proxy, image[1], lambda _, reply: reply._replace(cut=0))
    with pytest.raises(BrokenConnection):
        store.pull(image[0], via=transport)
    proxy.rules.clear()
    proxy.seen.clear()
    return image


def test_gc_keeps_the_parts_of_a_failed_pull_for_a_day(
    store: Store, interrupted: tuple[str, Digest]
) -> None:
    store.gc()
    (part,) = parts(store)
    old = part.stat().st_mtime - REST_SECONDS - 1
    os.utime(part, (old, old))

    store.gc()
    assert parts(store) == []


def test_a_part_that_a_power_cut_has_spoilt_is_fetched_anew(
    store: Store, interrupted: tuple[str, Digest], transport: Transport
) -> None:
    (part,) = parts(store)
    part.write_bytes(bytes(part.stat().st_size))
    store.pull(interrupted[0], via=transport)

    assert store.check().clean


def test_many_parts_that_a_power_cut_has_spoilt_are_fetched_anew(
    store: Store, transport: Transport, proxy: Proxy, new_store: NewStore, tmp_path: Path
) -> None:
    name = f"{proxy.host}/spoilt/{os.urandom(4).hex()}:1"
    layout = Layout()
    contents = [tar_of({f"{number}": noise(HALF + number)}) for number in range(5)]
    layers = [layout.blob(content, OCI_LAYER) for content in contents]
    config = layout.blob(config_of(*contents), "application/vnd.oci.image.config.v1+json")
    layout.publish(layout.manifest(config, layers), name)
    origin = new_store()
    filled(origin, layout, tmp_path)
    origin.push(name)
    filled(store, layout, tmp_path)
    store.remove([name])
    for layer in layers:
        Path(directory_of(store).ingest, PART + Digest(layer["digest"]).hex).write_bytes(
            bytes(HALF)
        )

    store.pull(name, via=transport)

    assert store.check().clean


def test_a_part_that_is_a_link_is_not_written_through(
    store: Store, interrupted: tuple[str, Digest], transport: Transport, tmp_path: Path
) -> None:
    (part,) = parts(store)
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    part.unlink()
    part.symlink_to(outside)
    store.pull(interrupted[0], via=transport)

    assert outside.read_bytes() == b"mine"


def test_what_a_killed_pull_has_fetched_is_rescued(
    store: Store, interrupted: tuple[str, Digest], transport: Transport
) -> None:
    (part,) = parts(store)
    dead = Path(directory_of(store).ingest, "load-1-0123456789ab")
    dead.mkdir()
    dead.with_name(dead.name + ".lock").touch()
    part.rename(dead / part.name)
    remove_leftovers(directory_of(store).root)
    assert not dead.exists()
    assert parts(store) == [part]


def wrong_byte(_: Request, reply: Reply) -> Reply:
    return reply._replace(body=reply.body[:-1] + bytes([reply.body[-1] ^ 1]))


def too_short(_: Request, reply: Reply) -> Reply:
    return reply._replace(body=reply.body[:-5], headers=without_length(reply))


def too_long(_: Request, reply: Reply) -> Reply:
    return reply._replace(body=reply.body + b"more", headers=without_length(reply))


def without_length(reply: Reply) -> dict[str, str]:
    return {key: value for key, value in reply.headers.items() if key.title() != "Content-Length"}


@pytest.mark.parametrize("lie", [wrong_byte, too_short, too_long])
def test_a_blob_that_is_not_its_digest_changes_nothing_and_leaves_nothing(
    lie: Callable[[Request, Reply], Reply],
    proxy: Proxy,
    store: Store,
    image: tuple[str, Digest],
    transport: Transport,
) -> None:
    name, layer = image
    layer_rule(proxy, layer, lie)
    with pytest.raises((Refused, BrokenConnection), match=layer):
        store.pull(name, via=transport)

    assert unchanged(store)
    if lie is wrong_byte:
        assert parts(store) == []


def manifest_rule(proxy: Proxy, change: Callable[[Reply], Reply]) -> None:
    def rule(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        return change(ask()) if "/manifests/" in request.path else None

    proxy.rule(rule)


def edited(reply: Reply, **fields: Any) -> Reply:
    """The manifest with other fields, under a digest of its own."""
    body = json.dumps({**json.loads(reply.body), **fields}).encode()
    headers = {**without_length(reply), "Docker-Content-Digest": sha256(body)}
    return reply._replace(body=body, headers=headers)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda reply: reply._replace(
                headers={
                    **reply.headers,
                    "Content-Type": "application/vnd.oci.image.index.v1+json",
                }
            ),
            "says it is of the media type",
        ),
        (lambda reply: edited(reply, manifests=[]), "both layers or config and manifests"),
        (lambda reply: edited(reply, schemaVersion=1), "schemaVersion"),
        (
            lambda reply: edited(reply, mediaType="application/vnd.oci.image.index.v1+json"),
            "says it is of the media type",
        ),
        (
            lambda reply: reply._replace(
                headers={**reply.headers, "Docker-Content-Digest": "sha256:" + "0" * 64}
            ),
            "says that",
        ),
        (
            lambda reply: reply._replace(
                headers={**reply.headers, "Content-Type": "text/html; charset=utf-8"}
            ),
            "neither a manifest nor an index",
        ),
        (
            lambda reply: reply._replace(
                headers=without_length(reply), body=b" " * (MAX_DOCUMENT + 1)
            ),
            f"exceeds the limit of {MAX_DOCUMENT} bytes",
        ),
        (lambda reply: edited(reply, layers=[]), "length mismatch"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    change: Callable[[Reply], Reply],
    reason: str,
    proxy: Proxy,
    store: Store,
    image: tuple[str, Digest],
) -> None:
    manifest_rule(proxy, change)
    with pytest.raises(CasstoreError, match=reason):
        store.pull(image[0])

    assert unchanged(store)


def test_other_bytes_than_the_digest_asked_for_are_refused(
    proxy: Proxy, store: Store, image: tuple[str, Digest]
) -> None:
    manifest_rule(proxy, lambda reply: edited(reply, annotations={"a": "b"}))
    with pytest.raises((Refused, NotFound)):
        store.pull(image[0].rpartition(":")[0] + "@sha256:" + "1" * 64)

    assert unchanged(store)


def test_a_busy_registry_is_waited_for_as_long_as_it_says(
    proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport, waits: list[float]
) -> None:
    answers = [
        Reply(429, {"Retry-After": "7"}, b"slow down"),
        Reply(503, {}, b""),
        Reply(500, {}, b""),
    ]
    layer_rule(proxy, image[1], lambda _, reply: answers.pop(0) if answers else reply)
    store.pull(image[0], via=transport)

    assert waits == [7.0, 1.0, 2.0]


def test_a_registry_that_wants_an_hour_is_not_waited_for(
    proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport, waits: list[float]
) -> None:
    error = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "rate limit"}]}).encode()
    manifest_rule(proxy, lambda _: Reply(429, {"Retry-After": "3600"}, error))
    with pytest.raises(RegistryError, match="toomanyrequests: rate limit"):
        store.pull(image[0], via=transport)

    assert waits == []


def test_a_registry_that_stays_ill_is_given_up(
    proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport, waits: list[float]
) -> None:
    manifest_rule(proxy, lambda _: Reply(502, {}, b"<html>"))
    with pytest.raises(RegistryError, match="status 502"):
        store.pull(image[0], via=transport)

    assert waits == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"errors":[{"code":"DENIED","message":"\\u001b[31mno"}]}', "denied: "),
        (b"x" * 100_000, "status 418"),
        (b'{"errors":[1, {"message": 2}]}', "status 418"),
        (b'{"errors":[{"code":"' + b"A" * 5000 + b'"}]}', "aaaa"),
    ],
)
def test_an_error_is_one_short_line(
    body: bytes, told: str, alone: Proxy, store: Store, transport: Transport
) -> None:
    alone.rule(lambda request, ask: Reply(200 if request.path == "/v2/" else 418, {}, body))
    with pytest.raises(RegistryError) as caught:
        store.pull(f"{alone.host}/a/b:1", via=transport)

    text = str(caught.value)
    assert told in text
    assert len(text) < 500
    assert text.isprintable()


def test_blobs_may_lie_on_another_host(
    proxy: Proxy, alone: Proxy, store: Store, image: tuple[str, Digest]
) -> None:
    """As with registries that keep blobs in object storage."""
    name, layer = image
    content: list[bytes] = []

    def elsewhere(_: Request, reply: Reply) -> Reply:
        content.append(reply.body)
        return Reply(307, {"Location": f"http://127.0.0.1:{alone.port}/signed?x=1"}, b"")

    layer_rule(proxy, layer, elsewhere)
    alone.rule(lambda request, ask: Reply(200, {}, content[0]))
    store.pull(name)

    assert store.get(name).layers == (layer,)
    assert "authorization" not in alone.seen[0].headers


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "which is not followed"),
        ("gopher://x/", "which is not followed"),
        ("http://host:port/", "invalid address"),
        ("http://[host/", "invalid address"),
        ("/again", "redirects more than 10 times"),
    ],
)
def test_redirects_are_few_and_stay_on_the_web(
    location: str, reason: str, alone: Proxy, transport: Transport
) -> None:
    alone.rule(lambda request, ask: Reply(302, {"Location": location}, b""))
    with pytest.raises(RegistryError, match=reason):
        transport.request("GET", f"http://{alone.host}/")


# A background job may ignore SIGINT, and so would what it starts.
INTERRUPTIBLE = """\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from casstore.__main__ import main
main()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_pull_that_was_stopped_is_gone_on_with(
    how: signal.Signals, proxy: Proxy, store: Store, image: tuple[str, Digest], transport: Transport
) -> None:
    name, layer = image
    arrived, end = threading.Event(), threading.Event()

    def stall(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        if layer.hex not in request.path or end.is_set():
            return None
        if "range" in request.headers:
            arrived.set()
            end.wait(60)
        return ask()._replace(cut=HALF)

    proxy.rule(stall)
    words = [sys.executable, "-c", INTERRUPTIBLE, "--store", store.path, "pull", name]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arrived.wait(60)  # half of it is there, and the rest has been asked for
    process.send_signal(how)
    process.wait(30)  # while the server still says nothing
    end.set()
    assert unchanged(store)
    proxy.seen.clear()
    store.pull(name, via=transport)

    assert [one.headers.get("range") for one in proxy.gets(layer.hex)] == [f"bytes={HALF}-"]


def test_a_full_disk_keeps_nothing_of_a_pull(
    store: Store, image: tuple[str, Digest], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = _Draft.write

    def full(self: _Draft, data: bytes | memoryview) -> int:
        if self.offset + len(data) > 1000 and os.path.getsize(self._path) > HALF:
            refused = OSError(errno.ENOSPC, "No space left on device")
            raise storage_error(refused, "cannot write to the store")
        return write(self, data)

    monkeypatch.setattr(_Draft, "write", full)
    with pytest.raises(StorageError, match="no space left"):
        store.pull(image[0])

    assert unchanged(store)
    assert parts(store) == []
