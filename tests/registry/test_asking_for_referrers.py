"""What refers to an image: "none" is what a registry says, not what it fails to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from casstore.errors import CasstoreError, RegistryError
from casstore.model.digest import Digest
from casstore.registry.access import Access
from casstore.registry.http import Transport
from casstore.registry.referrers import add_to_list, fallback_tag
from casstore.registry.remote import Registry, Repository
from casstore.store import Store
from tests.registry.conftest import NewStore
from tests.registry.servers import Ask, Proxy, Reply, Request
from tests.registry.test_referrers import artifacts
from tests.store.test_referrers import Signed
from tests.transfer.building import OCI_INDEX, OCI_MANIFEST

PAGE = b"<!DOCTYPE html><title>Sign in</title>"


class Signedly(Signed):
    """An image with an SBOM and a signature, in the registry, by tags alone."""

    name: str


@pytest.fixture
def signed(proxy: Proxy, new_store: NewStore, tmp_path: Path) -> Signedly:
    origin = new_store()
    name = f"{proxy.host}/asked/{tmp_path.name}"
    signed = Signedly(name)
    signed.name = f"{name}:1"
    origin.load(signed.layout.write(str(tmp_path / "layout")))
    origin.push(signed.name, referrers=True)
    proxy.seen.clear()
    return signed


def answering(proxy: Proxy, answer: Callable[[Request], Reply | None]) -> None:
    def rule(request: Request, ask: Ask) -> Reply | None:
        return answer(request) if "/referrers/" in request.path else None

    proxy.rules.insert(0, rule)


def index_of(*entries: Any) -> bytes:
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return json.dumps(value).encode()


@pytest.mark.parametrize("status", [400, 404, 405, 406, 501])
def test_a_registry_without_the_api_is_asked_for_the_tag(
    status: int, proxy: Proxy, store: Store, signed: Signedly, transport: Transport
) -> None:
    answering(proxy, lambda request: Reply(status, {}, PAGE))
    result = store.pull(signed.name, referrers=True, via=transport)

    assert artifacts(store, signed.name) == {signed.sbom, signed.signature}
    assert result.warnings == ()


@pytest.mark.parametrize("status", [401, 403, 408, 418, 429, 500, 502, 503, 504])
def test_a_list_that_cannot_be_had_is_an_error(
    status: int, proxy: Proxy, store: Store, signed: Signedly, transport: Transport
) -> None:
    answering(proxy, lambda request: Reply(status, {}, b""))
    with pytest.raises(RegistryError):
        store.pull(signed.name, referrers=True, via=transport)

    assert store.images(all=True) == []


NO_LISTS = {
    "a page for people": Reply(200, {"Content-Type": "text/html"}, PAGE),
    "nothing": Reply(200, {}, b""),
    "an object": Reply(200, {"Content-Type": "application/json"}, b"{}"),
    "an error": Reply(200, {"Content-Type": "application/json"}, b'{"errors": []}'),
    "an array": Reply(200, {"Content-Type": OCI_INDEX}, b"[]"),
    "a redirect to a login": Reply(302, {"Location": "/v2/referrers/login"}, b""),
}


@pytest.mark.parametrize("what", NO_LISTS)
def test_what_is_no_list_is_told_and_the_tag_is_asked_for(
    what: str, proxy: Proxy, store: Store, signed: Signedly, transport: Transport
) -> None:
    login = Reply(200, {"Content-Type": "text/html"}, PAGE)
    answering(proxy, lambda request: login if "login" in request.path else NO_LISTS[what])
    result = store.pull(signed.name, referrers=True, via=transport)

    assert artifacts(store, signed.name) == {signed.sbom, signed.signature}
    assert "looked for it by tags alone" in " ".join(result.warnings)


@pytest.mark.parametrize("manifests", ["null", "[]"])
def test_an_empty_list_is_an_answer(
    manifests: str, proxy: Proxy, store: Store, signed: Signedly, transport: Transport
) -> None:
    body = f'{{"manifests": {manifests}}}'.encode()
    answering(proxy, lambda request: Reply(200, {}, body))
    result = store.pull(signed.name, referrers=True, via=transport)

    assert artifacts(store, signed.name) == {signed.signature}  # by cosign's tag
    assert result.warnings == ()


@pytest.mark.parametrize(
    "second", [Reply(503, {}, b""), Reply(404, {}, b""), Reply(200, {}, PAGE)], ids=str
)
def test_a_list_that_breaks_off_is_an_error(
    second: Reply, proxy: Proxy, store: Store, signed: Signedly, transport: Transport
) -> None:
    def answer(request: Request) -> Reply:
        if "page=2" in request.path:
            return second
        link = f'<{request.path}?page=2>; title="a, b"; REL="Next"'
        return Reply(200, {"Link": link}, index_of())

    answering(proxy, answer)
    with pytest.raises(RegistryError):
        store.pull(signed.name, referrers=True, via=transport)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_signatures_tag_that_cannot_be_asked_for_is_an_error(
    status: int, proxy: Proxy, store: Store, signed: Signedly, transport: Transport
) -> None:
    proxy.rule(
        lambda request, ask: Reply(status, {}, b"") if request.path.endswith(".sig") else None
    )
    with pytest.raises(CasstoreError):
        store.pull(signed.name, referrers=True, via=transport)

    assert store.images(all=True) == []


@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_a_signature_comes_from_a_registry_without_head(
    status: int, proxy: Proxy, store: Store, signed: Signedly
) -> None:
    proxy.rule(lambda request, ask: Reply(status, {}, b"") if request.method == "HEAD" else None)
    store.pull(signed.name, referrers=True)

    assert signed.signature in artifacts(store, signed.name)


def test_a_list_that_names_what_is_not_there_is_told(
    proxy: Proxy, store: Store, signed: Signedly
) -> None:
    gone = "sha256:" + "1" * 64
    body = index_of({"mediaType": OCI_MANIFEST, "digest": gone, "size": 3})
    answering(
        proxy, lambda request: Reply(200, {}, body if signed.image in request.path else index_of())
    )
    result = store.pull(signed.name, referrers=True)

    assert f"lists the referrer {gone} and lacks it" in " ".join(result.warnings)


def test_a_referrer_of_an_unknown_type_is_told(
    proxy: Proxy, store: Store, signed: Signedly
) -> None:
    entry = {"mediaType": "application/x-new", "digest": "sha256:" + "1" * 64, "size": 3}
    answering(proxy, lambda request: Reply(200, {}, index_of(entry)))
    result = store.pull(signed.name, referrers=True)

    assert "application/x-new" in " ".join(result.warnings)


def subject_by_tag(proxy: Proxy, signed: Signedly) -> None:
    """As GitLab: the tag that lists referrers answers with the subject itself."""
    tag = fallback_tag(signed.image)

    def rule(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        if request.method == "GET" and request.path.endswith(f"/manifests/{tag}"):
            path = request.path.replace(tag, signed.image)
            return proxy._pass_on(request._replace(path=path), b"")
        return None

    proxy.rules.insert(0, rule)


def test_a_tag_that_answers_with_the_subject_itself_lists_nothing(
    proxy: Proxy, store: Store, signed: Signedly
) -> None:
    subject_by_tag(proxy, signed)
    store.pull(signed.name, referrers=True)

    assert artifacts(store, signed.name) == {signed.signature}


def test_such_a_tag_is_not_taken_for_a_list_to_be_continued(
    proxy: Proxy, store: Store, new_store: NewStore, signed: Signedly, tmp_path: Path
) -> None:
    subject_by_tag(proxy, signed)
    resolving = proxy.rules[0]

    def until_it_is_there(request: Request, ask: Ask) -> None:
        if request.method == "PUT" and request.path.endswith(fallback_tag(signed.image)):
            proxy.rules.remove(resolving)

    proxy.rules.append(until_it_is_there)
    origin = new_store()
    origin.load(str(tmp_path / "layout"))
    origin.push(signed.name, referrers=True)
    store.pull(signed.name, referrers=True)

    assert artifacts(store, signed.name) == {signed.sbom, signed.signature}
    assert resolving not in proxy.rules


def test_a_list_that_somebody_else_writes_at_the_same_time_has_both_in_the_end(
    proxy: Proxy, transport: Transport, signed: Signedly, store: Store
) -> None:
    """The other writer's list overwrites ours right after it was put."""
    store.pull(signed.name, referrers=True)
    tag, rival = (
        fallback_tag(signed.image),
        {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "2" * 64, "size": 2},
    )
    lists: list[Any] = [[]]

    def rule(request: Request, ask: Ask) -> Reply | None:
        if urlsplit(request.path).path.endswith(f"/manifests/{tag}"):
            if request.method == "PUT":
                lists.append([rival] if len(lists) == 1 else "ours")
                return Reply(201, {}, b"")
            if lists[-1] == "ours":
                ours = {"mediaType": OCI_MANIFEST, "digest": signed.sbom, "size": 2}
                return Reply(200, {"Content-Type": OCI_INDEX}, index_of(rival, ours))
            return Reply(200, {"Content-Type": OCI_INDEX}, index_of(*lists[-1]))
        return None

    proxy.rules.insert(0, rule)
    domain, _, path = signed.name.rpartition(":")[0].partition("/")
    remote = Repository(Registry(transport, domain), path)
    top, document = described(store, signed.sbom)
    add_to_list(remote, signed.image, top, document)

    assert len(lists) == 3


def described(store: Store, digest: Digest) -> Any:
    from casstore.model.descriptor import Descriptor
    from casstore.model.manifest import parse_document

    data = store.session.backend.blobs.read(digest)
    top = Descriptor(OCI_MANIFEST, digest, len(data))
    return top, parse_document(data, top)


POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


@pytest.mark.parametrize(
    "reply", [Reply(403, {}, b""), Reply(500, {}, b""), Reply(200, {}, PAGE)], ids=str
)
def test_under_a_policy_that_needs_no_signature_a_list_that_cannot_be_had_ends_no_pull(
    reply: Reply, proxy: Proxy, store: Store, signed: Signedly, tmp_path: Path
) -> None:
    transport = Transport(Access(), wait=lambda _: None)
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY))
    answering(proxy, lambda request: reply)
    result = store.pull(signed.name, policy=str(policy), via=transport)

    assert signed.image in store.get(signed.name).manifests
    assert result.warnings != ()
