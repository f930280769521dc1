"""Several people sign one image in several stores: nobody's signature goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from casstore.errors import Refused, RegistryError
from casstore.model.manifest import parse_manifest
from casstore.model.mediatype import OCI_MANIFEST
from casstore.model.reference import Reference
from casstore.model.signatures import (
    ENVELOPE,
    Documents,
    grows,
    layer_of,
    signature_tag,
    united,
    write_documents,
)
from casstore.registry.http import ATTEMPTS
from casstore.store import Store
from tests.registry.conftest import NewStore, filled
from tests.registry.servers import Ask, Proxy, Reply, Request
from tests.transfer.building import Layout


class Signers:
    """An image in the registry, and two people with a key and a store each."""

    def __init__(self, host: str, new_store: NewStore, path: Path) -> None:
        self.name = f"{host}/signed/{path.name}:1"
        self.new_store = new_store
        layout = Layout()
        self.image = layout.publish(layout.image("x"), self.name)
        origin = new_store()
        filled(origin, layout, path)
        origin.push(self.name)
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
        self.keys = [
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys
        ]
        self.public = [
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            for key in keys
        ]
        self.stores = [new_store() for _ in range(2)]
        for store in self.stores:
            store.pull(self.name)

    @property
    def tag(self) -> str:
        return f"{self.name.rpartition(':')[0]}:{signature_tag(self.image)}"

    def sign(self, who: int) -> None:
        self.stores[who].sign([self.name], self.keys[who])

    def verified(self, store: Store) -> list[bool]:
        """Whose signatures the store finds."""
        found = []
        for key in self.public:
            try:
                store.verify(self.name, key)
                found.append(True)
            except Refused:
                found.append(False)
        return found

    def pulled(self) -> list[bool]:
        store = self.new_store()
        store.pull(self.name, referrers=True)
        return self.verified(store)


@pytest.fixture
def signers(proxy: Proxy, new_store: NewStore, tmp_path: Path) -> Signers:
    return Signers(proxy.host, new_store, tmp_path)


def push_referrers(store: Store, name: str) -> None:
    store.push(name, referrers=True)


def push_all_tags(store: Store, name: str) -> None:
    store.push(name.rpartition(":")[0], all_tags=True)


@pytest.mark.parametrize("push", [push_referrers, push_all_tags])
def test_a_push_adds_to_the_signatures_that_the_registry_has(
    push: Callable[[Store, str], None], signers: Signers
) -> None:
    for who in (0, 1):
        signers.sign(who)
        push(signers.stores[who], signers.name)

    assert signers.pulled() == [True, True]


def test_a_push_again_changes_nothing(signers: Signers, proxy: Proxy) -> None:
    for who in (0, 1):
        signers.sign(who)
        push_referrers(signers.stores[who], signers.name)
    proxy.seen.clear()
    push_referrers(signers.stores[0], signers.name)

    assert not [one for one in proxy.seen if one.method == "PUT" and one.path.endswith(".sig")]
    assert signers.pulled() == [True, True]


def test_a_pull_keeps_the_signatures_that_the_store_has(signers: Signers) -> None:
    signers.sign(0)
    push_referrers(signers.stores[0], signers.name)
    signers.sign(1)
    signers.stores[1].pull(signers.name, referrers=True)

    assert signers.verified(signers.stores[1]) == [True, True]
    assert signers.stores[1].images(all=True, filters=["dangling=true"]) == []
    assert signers.stores[1].gc().freed == 0


def test_a_load_keeps_the_signatures_that_the_store_has(signers: Signers, tmp_path: Path) -> None:
    signers.sign(0)
    signers.sign(1)
    archive = str(tmp_path / "signed.tar")
    signers.stores[0].save([signers.name], archive, format="oci")
    signers.stores[1].load(archive)

    assert signers.verified(signers.stores[1]) == [True, True]


def test_a_signature_beside_one_that_came_by_pull_is_added(signers: Signers) -> None:
    signers.sign(0)
    push_referrers(signers.stores[0], signers.name)
    signers.stores[1].pull(signers.name, referrers=True)
    signers.sign(1)
    push_referrers(signers.stores[1], signers.name)

    assert signers.pulled() == [True, True]


def test_who_overwrites_somebody_else_adds_what_is_missing(signers: Signers, proxy: Proxy) -> None:
    """Between our look and our writing somebody else has written; and once more."""
    signers.sign(0)
    signers.sign(1)
    path = f"/manifests/{signature_tag(signers.image)}"
    rivals = [1]

    def rule(request: Request, ask: Ask) -> None:
        if rivals and request.method == "PUT" and request.path.endswith(path):
            rivals.clear()
            push_referrers(signers.stores[1], signers.name)

    proxy.rules.insert(0, rule)
    push_referrers(signers.stores[0], signers.name)
    push_referrers(signers.stores[1], signers.name)

    assert signers.pulled() == [True, True]


def test_a_registry_in_which_others_always_win_is_given_up(signers: Signers, proxy: Proxy) -> None:
    signers.sign(0)
    signers.sign(1)
    push_referrers(signers.stores[1], signers.name)
    path = f"/manifests/{signature_tag(signers.image)}"
    put: list[str] = []

    def rule(request: Request, ask: Ask) -> Reply | None:
        if request.method == "PUT" and request.path.endswith(path):
            put.append(request.path)
            return Reply(201, {}, b"")
        return None

    proxy.rules.insert(0, rule)
    with pytest.raises(RegistryError, match="at the same time"):
        push_referrers(signers.stores[0], signers.name)

    assert len(put) == ATTEMPTS


def test_something_else_under_the_tag_is_not_overwritten(
    signers: Signers, new_store: NewStore, tmp_path: Path
) -> None:
    other, layout = new_store(), Layout()
    layout.publish(layout.image("something else"), signers.tag)
    other.load(layout.write(str(tmp_path / "other")))
    other.push(signers.tag)
    signers.sign(0)
    with pytest.raises(Refused, match="is not overwritten"):
        push_referrers(signers.stores[0], signers.name)


# Two artifacts made one


def artifact(*payloads: bytes, notes: dict[str, str] | None = None) -> bytes:
    layers = [layer_of(one, one[::-1]) for one in payloads]
    return write_documents(layers, annotations=notes).manifest


def payloads(both: Documents | None) -> list[int]:
    assert both is not None
    manifest = parse_manifest(both.manifest, "x", media_type=OCI_MANIFEST)
    return [entry.descriptor.size for entry in manifest.layers]


def test_the_layers_of_both_are_there_once_the_first_ones_first() -> None:
    both = united(artifact(b"a", b"bb"), artifact(b"bb", b"ccc"))

    assert payloads(both) == [1, 2, 3]


def test_two_signatures_of_one_payload_both_stay() -> None:
    one, two = (write_documents([layer_of(b"same", by)]).manifest for by in (b"me", b"you"))

    assert payloads(united(one, two)) == [4, 4]


@pytest.mark.parametrize("order", [1, -1])
def test_the_longer_of_two_stays_as_it_is(order: int) -> None:
    longer, shorter = artifact(b"a", b"bb"), artifact(b"bb")
    both = united(*[longer, shorter][::order])

    assert both == Documents(longer, b"")


def test_annotations_of_both_stay() -> None:
    both = united(artifact(b"a", notes={"a": "1", "x": "1"}), artifact(b"b", notes={"x": "2"}))
    assert both is not None

    assert json.loads(both.manifest)["annotations"] == {"a": "1", "x": "1"}


@pytest.mark.parametrize(
    "other",
    [
        b"{}",
        b"not JSON",
        artifact(b"a").replace(b"simplesigning", b"something"),
        artifact(b"a").replace(b'"layers"', b'"manifests":[],"layers"'),
    ],
)
def test_what_is_no_artifact_of_signatures_is_not_united(other: bytes) -> None:
    assert united(artifact(b"a"), other) is None
    assert united(other, artifact(b"a")) is None


def test_attestations_are_united_too() -> None:
    kind = b"application/vnd.dev.cosign.simplesigning.v1+json"
    one, two = (artifact(x).replace(kind, ENVELOPE.encode()) for x in (b"a", b"bb"))

    assert payloads(united(one, two)) == [1, 2]


@pytest.mark.parametrize(
    ("suffix", "expected"), [(".sig", True), (".att", True), (".sbom", False), ("", False)]
)
def test_tags_of_signatures_and_attestations_grow(suffix: str, expected: bool) -> None:  # noqa: FBT001
    assert grows(Reference(f"docker.io/a/b:sha256-{'1' * 64}{suffix}")) is expected
    assert not grows(Reference(f"docker.io/a/b:1{suffix}"))
