"""pull under a trust policy: signatures come along, and decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.store import Store
from casstore.transfer.place import Place
from tests.registry.conftest import NewStore, filled
from tests.registry.servers import RealRegistry
from tests.store.test_gatekeeping import snapshot
from tests.store.test_signing import OTHER_PUBLIC, PRIVATE, PUBLIC
from tests.transfer.building import Layout


def policy(tmp_path: Path, host: str, key: bytes, **more: Any) -> str:
    """All of a registry must be signed by this key; nothing else comes in."""
    (tmp_path / "key.pub").write_bytes(key)
    requirement = {
        "type": "sigstoreSigned",
        "keyPath": str(tmp_path / "key.pub"),
        "signedIdentity": {"type": "matchRepository"},
        **more,
    }
    path = tmp_path / "policy.json"
    path.write_text(
        json.dumps(
            {"default": [{"type": "reject"}], "transports": {"docker": {host: [requirement]}}}
        )
    )
    return str(path)


def signed(store: Store, host: str, tmp_path: Path, repository: str) -> str:
    """Push an image and its signature; the image's name."""
    layout = Layout()
    name = f"{host}/{repository}:1"
    layout.publish(layout.image("x", "y"), name)
    filled(store, layout, tmp_path)
    (one,) = store.sign([name], PRIVATE)
    assert one.artifact is not None
    store.push(name)
    store.push(one.artifact.familiar)
    return name


def test_a_signed_image_is_pulled_with_its_signatures(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = signed(new_store(), registry.host, tmp_path, "policy/good")
    store = new_store()
    store.pull(name, policy=policy(tmp_path, registry.host, PUBLIC))

    assert store.verify(name, PUBLIC)


def test_an_image_signed_by_another_key_is_refused_and_nothing_is_changed(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = signed(new_store(), registry.host, tmp_path, "policy/other")
    store = new_store()
    store.load(Layout().write(str(tmp_path / "empty")))
    before = snapshot(store)
    with pytest.raises(Refused, match="signature 1 was not made by this key"):
        store.pull(name, policy=policy(tmp_path, registry.host, OTHER_PUBLIC))

    assert store.images(all=True) == []
    assert [line for line in snapshot(store) if "/blobs/" in line] == [
        line for line in before if "/blobs/" in line
    ]


def test_an_unsigned_image_is_refused(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    layout = Layout()
    name = f"{registry.host}/policy/unsigned:1"
    layout.publish(layout.image("x"), name)
    origin, store = new_store(), new_store()
    filled(origin, layout, tmp_path)
    origin.push(name)
    with pytest.raises(Refused, match="it has no signatures"):
        store.pull(name, policy=policy(tmp_path, registry.host, PUBLIC))


def test_a_registry_outside_the_policy_is_refused(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = signed(new_store(), registry.host, tmp_path, "policy/outside")
    with pytest.raises(Refused, match="rejects every image from there"):
        new_store().pull(name, policy=policy(tmp_path, "elsewhere.example.org", PUBLIC))


def test_all_tags_are_held_to_the_policy(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = signed(new_store(), registry.host, tmp_path, "policy/all")
    store = new_store()
    where = policy(tmp_path, registry.host, PUBLIC)
    store.pull(name.removesuffix(":1"), all_tags=True, policy=where)

    assert store.verify(name, PUBLIC)


def test_a_copy_is_held_to_the_policy_for_where_it_comes_from(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = signed(new_store(), registry.host, tmp_path, "policy/copied")
    store, source = new_store(), Place("docker", name, "")
    (tmp_path / "other").mkdir()
    bad = policy(tmp_path / "other", registry.host, OTHER_PUBLIC)
    with pytest.raises(Refused, match="signature 1 was not made by this key"):
        store.copy_in(source, "mine/app:1", policy=bad)
    with pytest.raises(Refused, match="rejects every image from there"):
        store.copy_in(source, "mine/app:1", policy=policy(tmp_path / "other", "docker.io", PUBLIC))
    assert not store.images(all=True)

    store.copy_in(source, "mine/app:1", policy=policy(tmp_path, registry.host, PUBLIC))
    assert store.verify("mine/app:1", PUBLIC, identity=name)


def test_without_a_policy_only_the_image_is_pulled(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = signed(new_store(), registry.host, tmp_path, "policy/none")
    store = new_store()
    store.pull(name)

    assert len(store.images(all=True)) == 1
