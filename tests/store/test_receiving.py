"""What clients of a registry push to a store, and remove from it."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Conflict, NotFound, Refused, Unsupported
from casstore.flows.receive import BlobUnknown, type_of
from casstore.model.digest import Digest
from casstore.model.mediatype import DOCKER_LIST, OCI_INDEX
from casstore.model.reference import Reference
from casstore.model.state import PROMISED, SETTLED
from casstore.store import Store
from casstore.store.receiving import NotTrusted, remove, untag, uploads_of
from tests.store.pushing import REPOSITORY, has, push, upload_all
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Layout,
    config_of,
    layer,
)

FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store.in_memory() if request.param == "memory" else Store(tmp_path / "a store")
    uploads_of(made.session)
    with made:
        yield made


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "a store") as made:
        uploads_of(made.session)
        yield made


@pytest.fixture
def layout() -> Layout:
    return Layout()


def names(store: Store) -> set[str]:
    """Names of images, without the repository that they share; digests by their first digits."""
    found = (name.removeprefix(REPOSITORY) for name in store.session.view().all_names())
    return {name[:12] if name.startswith("@") else name for name in found}


def at(descriptor: dict[str, Any]) -> str:
    return f"@{descriptor['digest']}"[:12]


def digest(descriptor: dict[str, Any]) -> Digest:
    return Digest(descriptor["digest"])


def artifact(layout: Layout, text: str, **fields: Any) -> dict[str, Any]:
    payload = layout.blob(text.encode(), "text/x-anything")
    return layout.manifest(layout.blob(b"{}", EMPTY), [payload], artifactType="text/x", **fields)


def delete(store: Store, manifest: dict[str, Any]) -> None:
    remove(store.session, REPOSITORY, digest(manifest), has)


def sound(store: Store) -> None:
    report = store.check(content=True)
    assert [f for f in report.findings if f.level == "error"] == []


# What is taken in


def test_a_push_by_tag_names_the_manifest_by_its_digest_too(store: Store, layout: Layout) -> None:
    top = layout.image("one", "two")
    upload_all(store, layout)

    received = push(store, layout, top, "v1")

    assert names(store) == {":v1", at(top)}
    assert received.top.digest == top["digest"]
    assert received.subject is None


def test_a_push_by_digest_gives_no_tag(store: Store, layout: Layout) -> None:
    top = layout.image("one")
    upload_all(store, layout)

    push(store, layout, top)

    assert names(store) == {at(top)}


def test_layers_are_promised_and_what_was_uploaded_is_in_the_store_alone(
    store: Store, layout: Layout
) -> None:
    top = layout.image("one", "two")
    upload_all(store, layout)

    push(store, layout, top, "v1")

    view = store.session.view()
    assert [one.state for one in view.all_layers()] == [PROMISED, PROMISED]
    assert store.session.backend.arriving_bytes() == 0
    sound(store)


def test_a_layer_whose_diff_id_is_wrong_is_kept_as_it_is_given(
    store: Store, layout: Layout
) -> None:
    blob = layout.blob(b"no tar at all", OCI_LAYER + "+gzip")
    top = layout.manifest(layout.blob(config_of(layer("another")), OCI_CONFIG), [blob])
    upload_all(store, layout)

    push(store, layout, top, "v1")

    assert store.session.view().layer(digest(blob)) is not None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_manifest_of_which_something_is_missing_is_refused_and_nothing_is_changed(
    store: Store, layout: Layout, which: int
) -> None:
    top = layout.image("one", "two")
    missing = described(layout, top)[which]
    upload_all(store, layout, missing)

    with pytest.raises(BlobUnknown) as refusal:
        push(store, layout, top, "v1")

    assert refusal.value.digest == missing["digest"]
    assert names(store) == set()
    assert list(store.session.view().all_blobs()) == []


def test_an_index_needs_all_of_its_manifests(store: Store, layout: Layout) -> None:
    one, two = layout.image("one"), layout.image("two")
    index = layout.index(one, two)
    upload_all(store, layout, two)
    push(store, layout, one)

    with pytest.raises(BlobUnknown):
        push(store, layout, index, "v1")

    upload_all(store, layout)
    push(store, layout, two)
    push(store, layout, index, "v1")
    assert has(store.session.view(), digest(two))


def test_an_artifact_of_unknown_types_is_kept(store: Store, layout: Layout) -> None:
    top = artifact(layout, "anything")
    upload_all(store, layout)

    push(store, layout, top, "sbom")

    assert store.session.view().image_named(Reference(f"{REPOSITORY}:sbom")) == top["digest"]
    sound(store)


def test_a_document_that_is_none_is_refused(store: Store, layout: Layout) -> None:
    top = layout.blob(b"[]", OCI_MANIFEST)

    with pytest.raises(Refused):
        push(store, layout, top, "v1")


def test_a_blob_of_another_size_than_the_manifest_says_is_refused(
    store: Store, layout: Layout
) -> None:
    for kind in (OCI_LAYER + "+gzip", "text/plain"):
        blob = {**layout.blob(b"ten bytes.", kind), "size": 11}
        top = layout.manifest(layout.blob(config_of(layer("x")), OCI_CONFIG), [blob])
        upload_all(store, layout)

        with pytest.raises(Refused):
            push(store, layout, top, "v1")
    assert names(store) == set()


def test_a_push_that_contradicts_what_was_read_of_a_layer_is_refused(
    store: Store, layout: Layout
) -> None:
    tar = layer("one")
    blob = layout.blob(gzip.compress(tar), OCI_LAYER + "+gzip")
    right = layout.manifest(layout.blob(config_of(tar), OCI_CONFIG), [blob])
    wrong = layout.manifest(layout.blob(config_of(layer("two")), OCI_CONFIG), [blob])
    upload_all(store, layout)
    push(store, layout, right, "v1")
    store.settle()

    with pytest.raises(Refused, match="diffID"):
        push(store, layout, wrong, "v2")

    assert names(store) == {":v1", at(right)}


def test_of_two_pushes_that_contradict_each_other_the_layer_says_which_is_right(
    store: Store, layout: Layout
) -> None:
    tar = layer("one")
    blob = layout.blob(gzip.compress(tar), OCI_LAYER + "+gzip")
    wrong = layout.manifest(layout.blob(config_of(layer("two")), OCI_CONFIG), [blob])
    right = layout.manifest(layout.blob(config_of(tar), OCI_CONFIG), [blob])
    upload_all(store, layout)
    push(store, layout, wrong, "v1")

    push(store, layout, right, "v2")

    known = store.session.view().layer(digest(blob))
    assert known is not None
    assert known.state == SETTLED
    assert ":v2" in names(store)


def test_a_tag_moves_and_the_old_manifest_stays_by_its_digest(store: Store, layout: Layout) -> None:
    one, two = layout.image("one"), layout.image("two")
    upload_all(store, layout)
    push(store, layout, one, "latest")

    push(store, layout, two, "latest")

    assert names(store) == {":latest", at(one), at(two)}
    assert has(store.session.view(), digest(one))


def test_the_trust_policy_is_asked(on_disk: Store, layout: Layout) -> None:
    policy = json.dumps({"default": [{"type": "reject"}]})
    (Path(on_disk.path) / "trust-policy.json").write_text(policy)
    top = layout.image("one")
    upload_all(on_disk, layout)

    with pytest.raises(NotTrusted):
        push(on_disk, layout, top, "v1")

    assert names(on_disk) == set()


@pytest.mark.parametrize(
    ("document", "told", "kind"),
    [
        ({"manifests": []}, "", OCI_INDEX),
        ({"layers": []}, "application/json", OCI_MANIFEST),
        ({"mediaType": DOCKER_LIST, "manifests": []}, "", DOCKER_LIST),
        ({"manifests": []}, DOCKER_LIST, DOCKER_LIST),
    ],
)
def test_the_type_is_what_the_client_says_or_else_the_document(
    document: dict[str, Any], told: str, kind: str
) -> None:
    assert type_of(json.dumps(document).encode(), told) == kind


# Foreign layers


def with_a_foreign_layer(layout: Layout) -> tuple[dict[str, Any], dict[str, Any]]:
    """An image whose lower layer is to be had elsewhere; and that layer."""
    tar, base = layer("ours"), layer("theirs")
    foreign = layout.blob(gzip.compress(base), FOREIGN, urls=["https://example.com/base"])
    layers = [foreign, layout.blob(gzip.compress(tar), OCI_LAYER + "+gzip")]
    return layout.manifest(layout.blob(config_of(base, tar), OCI_CONFIG), layers), foreign


def test_a_foreign_layer_need_not_come(store: Store, layout: Layout) -> None:
    top, foreign = with_a_foreign_layer(layout)
    upload_all(store, layout, foreign)

    push(store, layout, top, "v1")

    assert store.session.view().blob_size(digest(foreign)) is None
    sound(store)


def test_without_it_the_image_is_whole_for_a_rebuild(on_disk: Store, layout: Layout) -> None:
    top, foreign = with_a_foreign_layer(layout)
    upload_all(on_disk, layout, foreign)
    push(on_disk, layout, top, "v1")
    before = on_disk.get(f"{REPOSITORY}:v1")

    on_disk.close()
    (Path(on_disk.path) / "casstore.db").unlink()
    on_disk.pin(f"{REPOSITORY}:v1", pinned=False)

    assert on_disk.get(f"{REPOSITORY}:v1").id == before.id
    sound(on_disk)


def test_who_wants_the_files_is_told_that_one_layer_is_not_there(
    store: Store, layout: Layout, tmp_path: Path
) -> None:
    top, foreign = with_a_foreign_layer(layout)
    upload_all(store, layout, foreign)
    push(store, layout, top, "v1")

    with pytest.raises(Unsupported, match=r"layer 1 of .* is not in the store"):
        store.unpack(f"{REPOSITORY}:v1", tmp_path / "files")


def test_it_is_saved_as_a_layout_without_that_layer(
    store: Store, layout: Layout, tmp_path: Path
) -> None:
    top, foreign = with_a_foreign_layer(layout)
    upload_all(store, layout, foreign)
    push(store, layout, top, "v1")

    store.save([f"{REPOSITORY}:v1"], tmp_path / "saved", format="oci-dir")

    blobs = tmp_path / "saved" / "blobs" / "sha256"
    kept = [one for one in (top, *described(layout, top)) if one["digest"] != foreign["digest"]]
    assert {one.name for one in blobs.iterdir()} == {digest(one).hex for one in kept}


def test_a_docker_archive_cannot_be_made_without_it(store: Store, layout: Layout) -> None:
    top, foreign = with_a_foreign_layer(layout)
    upload_all(store, layout, foreign)
    push(store, layout, top, "v1")

    with pytest.raises(Unsupported, match="foreign layer that is not in the store"):
        store.save([f"{REPOSITORY}:v1"], io.BytesIO())


def described(layout: Layout, top: dict[str, Any]) -> list[dict[str, Any]]:
    document = json.loads(layout.of(top))
    return [document["config"], *document["layers"]]


def test_when_it_comes_the_image_has_it(store: Store, layout: Layout) -> None:
    top, foreign = with_a_foreign_layer(layout)
    upload_all(store, layout, foreign)
    push(store, layout, top, "v1")
    upload_all(store, layout)

    push(store, layout, top, "v1")

    needs = [one.digest for one in store.session.view().needs_of(digest(top))]
    assert foreign["digest"] in needs
    sound(store)


def test_that_another_image_brings_it_is_no_damage(store: Store, layout: Layout) -> None:
    top, foreign = with_a_foreign_layer(layout)
    upload_all(store, layout, foreign)
    push(store, layout, top, "v1")
    other = layout.manifest(layout.blob(config_of(layer("theirs")), OCI_CONFIG), [foreign])
    upload_all(store, layout)

    push(store, layout, other, "v2")

    sound(store)


# Platforms and signatures


def test_a_platform_that_an_index_has_loses_its_own_digest_name(
    store: Store, layout: Layout
) -> None:
    one, two = layout.image("one"), layout.image("two")
    index = layout.index(one, two)
    upload_all(store, layout)
    push(store, layout, one)
    push(store, layout, two)

    push(store, layout, index, "v1")

    assert names(store) == {":v1", at(index)}
    assert has(store.session.view(), digest(one))
    store.remove([f"{REPOSITORY}:v1"])
    assert list(store.session.view().all_blobs()) == []


def test_one_that_has_a_tag_or_is_pinned_keeps_its_names(store: Store, layout: Layout) -> None:
    one, two, three = layout.image("one"), layout.image("two"), layout.image("three")
    index = layout.index(one, two, three)
    upload_all(store, layout)
    push(store, layout, one, "amd64")
    push(store, layout, two)
    push(store, layout, three, repository="localhost/elsewhere")
    store.pin(f"{REPOSITORY}@{two['digest']}")
    push(store, layout, three)

    push(store, layout, index, "v1")

    kept = {":amd64", at(one), at(two), ":v1", at(index)}
    assert {name for name in names(store) if not name.startswith("localhost")} == kept
    assert has(store.session.view(), digest(three), "localhost/elsewhere")


def test_a_signature_by_digest_goes_with_what_it_refers_to(store: Store, layout: Layout) -> None:
    top = layout.image("one")
    signature = artifact(layout, "signed", subject=top)
    upload_all(store, layout)
    push(store, layout, top, "v1")

    assert push(store, layout, signature).subject == top["digest"]

    assert names(store) == {":v1", at(top)}
    assert has(store.session.view(), digest(signature))
    store.remove([f"{REPOSITORY}:v1"])
    assert list(store.session.view().all_blobs()) == []


def test_one_that_comes_before_its_subject_is_named_by_its_digest(
    store: Store, layout: Layout
) -> None:
    top = layout.image("one")
    signature = artifact(layout, "signed", subject=top)
    upload_all(store, layout)

    assert push(store, layout, signature).subject == top["digest"]

    assert names(store) == {at(signature)}


# Removal


def test_a_manifest_goes_by_digest_with_all_its_tags_in_the_repository(
    store: Store, layout: Layout
) -> None:
    top = layout.image("one")
    upload_all(store, layout)
    push(store, layout, top, "v1", "v2")

    delete(store, top)

    assert names(store) == set()
    assert list(store.session.view().all_blobs()) == []


def test_what_another_repository_has_stays_there(store: Store, layout: Layout) -> None:
    top = layout.image("one")
    upload_all(store, layout)
    push(store, layout, top, "v1")
    push(store, layout, top, "v1", repository="localhost/other")

    delete(store, top)

    assert not has(store.session.view(), digest(top))
    assert has(store.session.view(), digest(top), "localhost/other")


def test_what_is_not_there_cannot_be_removed(store: Store, layout: Layout) -> None:
    top = layout.image("one")
    upload_all(store, layout)
    push(store, layout, top, "v1", repository="localhost/other")

    with pytest.raises(NotFound):
        delete(store, top)
    with pytest.raises(NotFound):
        untag(store.session, Reference(f"{REPOSITORY}:v1"))


@pytest.mark.parametrize("held", ["pin", "lease"])
def test_what_is_held_stays_with_all_its_names(store: Store, layout: Layout, held: str) -> None:
    top = layout.image("one")
    upload_all(store, layout)
    push(store, layout, top, "v1", "v2")
    if held == "pin":
        store.pin(f"{REPOSITORY}:v1")
    else:
        store.leases.add("nightly", f"{REPOSITORY}:v1")

    with pytest.raises(Conflict, match=r"pinned|nightly"):
        delete(store, top)

    assert names(store) == {":v1", ":v2", at(top)}
    untag(store.session, Reference(f"{REPOSITORY}:v1"))
    with pytest.raises(Conflict, match=r"pinned|nightly"):
        untag(store.session, Reference(f"{REPOSITORY}:v2"))


def test_a_platform_does_not_go_out_of_its_index(store: Store, layout: Layout) -> None:
    one = layout.image("one")
    index = layout.index(one)
    upload_all(store, layout)
    push(store, layout, one)
    push(store, layout, index, "v1")
    push(store, layout, one)

    with pytest.raises(Conflict, match="part of an index"):
        delete(store, one)

    assert names(store) == {":v1", at(index), at(one)}


def test_a_signature_without_a_name_can_be_removed_by_itself(store: Store, layout: Layout) -> None:
    top = layout.image("one")
    signature = artifact(layout, "signed", subject=top)
    upload_all(store, layout)
    push(store, layout, top, "v1")
    push(store, layout, signature)

    delete(store, signature)

    assert not has(store.session.view(), digest(signature))
    assert names(store) == {":v1", at(top)}


def test_an_image_that_refers_to_another_form_of_itself_can_be_removed_by_itself(
    store: Store, layout: Layout
) -> None:
    top = layout.image("one")
    document = json.loads(layout.of(top))
    other = layout.manifest(document["config"], document["layers"], subject=top)
    upload_all(store, layout)
    push(store, layout, top, "v1")
    push(store, layout, other)
    assert has(store.session.view(), digest(other))

    delete(store, other)

    assert not has(store.session.view(), digest(other))
    assert names(store) == {":v1", at(top)}
    sound(store)


def test_the_trash_keeps_what_was_removed(store: Store, layout: Layout) -> None:
    store.settings.set("trash.keep", "1h")
    top = layout.image("one")
    upload_all(store, layout)
    push(store, layout, top, "v1")

    delete(store, top)

    (entry,) = store.trash.list()
    assert entry is not None
