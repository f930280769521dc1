"""Signatures and SBOMs travel with what they refer to, whatever the registry knows of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.registry.http import Transport
from casstore.store import Store
from tests.registry.conftest import NewStore
from tests.registry.servers import Proxy, RealRegistry, Reply, Request
from tests.store.test_referrers import Signed
from tests.transfer.building import OCI_INDEX


def artifacts(store: Store, image: str) -> set[str]:
    return {one["Digest"] for one in store.inspect(image)["Casstore"]["Referrers"]}


def signed_in(store: Store, host: str, path: Path, name: str) -> Signed:
    signed = Signed(f"{host}/{name}")
    store.load(signed.layout.write(str(path / "layout")))
    return signed


class ReferrersApi:
    """What a registry of OCI 1.1 adds to one of 1.0: it notes subjects and lists referrers."""

    def __init__(self, proxy: Proxy) -> None:
        self.listed: dict[str, list[dict[str, object]]] = {}
        proxy.rule(self._answer)

    def _answer(self, request: Request, ask: Callable[[], Reply]) -> Reply | None:
        path = urlsplit(request.path).path
        if "/referrers/" in path:
            known = self.listed.get(path.rpartition("/")[2], [])
            body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": known}
            return Reply(200, {"Content-Type": OCI_INDEX}, json.dumps(body).encode())
        if request.method != "PUT" or "/manifests/" not in path:
            return None
        reply = ask()
        told = {**reply.headers, "OCI-Subject": "sha256:" + "0" * 64}
        return reply._replace(headers=told)


def test_referrers_come_and_go_by_the_tag_where_there_is_no_list(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{registry.host}/refer/app"
    signed = signed_in(origin, registry.host, tmp_path, "refer/app")
    origin.push(f"{name}:1", referrers=True)
    store.pull(f"{name}:1", referrers=True)

    assert artifacts(store, f"{name}:1") == {signed.sbom, signed.signature}
    assert store.get(f"{name}:sha256-{signed.image.hex}.sig").id == signed.signature


def test_the_tag_that_lists_referrers_keeps_those_of_others(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, other, store = new_store(), new_store(), new_store()
    name = f"{registry.host}/list/app"
    signed = signed_in(origin, registry.host, tmp_path / "1", "list/app")
    origin.push(f"{name}:1", referrers=True)
    more = Signed(name)
    entry = next(one for one in more.layout.entries if one["digest"] == signed.image)
    image = {key: entry[key] for key in ("mediaType", "digest", "size")}
    empty = more.layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    manifest = more.layout.manifest(empty, [], subject=image, artifactType="text/new")
    added = more.layout.publish(manifest)
    other.load(more.layout.write(str(tmp_path / "2")))
    other.push(f"{name}:1", referrers=True)
    store.pull(f"{name}:1", referrers=True)

    assert artifacts(store, f"{name}:1") == {signed.sbom, signed.signature, added}


def test_rmi_removes_pulled_referrers_with_their_subject(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{registry.host}/gone/app:1"
    signed_in(origin, registry.host, tmp_path, "gone/app")
    origin.push(name, referrers=True)
    store.pull(name, referrers=True)
    store.remove([name])

    assert store.images(all=True) == []
    assert store.df().blobs == 0


def test_without_the_option_nothing_that_refers_to_an_image_is_fetched_or_sent(
    proxy: Proxy, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{proxy.host}/plain/app"
    signed = signed_in(origin, proxy.host, tmp_path, "plain/app")
    origin.push(f"{name}:1")
    assert not [one for one in proxy.seen if signed.sbom in one.path]
    origin.push(f"{name}:1", referrers=True)
    store.pull(f"{name}:1")

    assert artifacts(store, f"{name}:1") == set()


def test_a_registry_that_lists_referrers_needs_no_tag_for_it(
    proxy: Proxy, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{proxy.host}/api/app"
    api = ReferrersApi(proxy)
    signed = signed_in(origin, proxy.host, tmp_path, "api/app")
    origin.push(f"{name}:1", referrers=True)
    assert not [one for one in proxy.seen if one.path.endswith(f"/sha256-{signed.image.hex}")]

    sbom = origin.session.backend.blobs.read(signed.sbom)
    api.listed[signed.image] = [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": signed.sbom,
            "size": len(sbom),
            "artifactType": "text/spdx",
        }
    ]
    store.pull(f"{name}:1", referrers=True)
    assert artifacts(store, f"{name}:1") == {signed.sbom, signed.signature}


def test_a_list_of_referrers_that_lies_changes_nothing(
    proxy: Proxy, new_store: NewStore, tmp_path: Path, transport: Transport
) -> None:
    origin, store = new_store(), new_store()
    name = f"{proxy.host}/lies/app"
    api = ReferrersApi(proxy)
    signed = signed_in(origin, proxy.host, tmp_path, "lies/app")
    origin.push(f"{name}:1", referrers=True)
    api.listed[signed.image] = [{"mediaType": OCI_INDEX, "digest": Digest(signed.sbom), "size": 1}]
    with pytest.raises(Refused, match="named as"):
        store.pull(f"{name}:1", referrers=True, via=transport)

    assert store.images(all=True) == []
