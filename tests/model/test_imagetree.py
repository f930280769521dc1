from __future__ import annotations

import json
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model import imagetree
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.imagetree import read_tree
from casstore.model.kept import LayerRecord
from casstore.model.manifest import EMPTY_CONFIG
from casstore.model.mediatype import OCI_INDEX, OCI_MANIFEST, SCHEMA1
from casstore.model.record import ImageRecord
from casstore.model.treechecks import MAX_INDEX_DEPTH, missing
from tests.transfer.building import OCI_CONFIG, OCI_LAYER, Layout, config_of, layer

FILE_BYTES = 10


class Tree(Layout):
    """A layout that is its own `TreeReader`; layers are plain, ten file bytes each."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves: list[Digest] = []
        self.diff_ids: list[Digest | None] = []

    def document(self, descriptor: Descriptor) -> bytes | None:
        return self.files.get(f"blobs/sha256/{descriptor.digest.hex}")

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        data = self.document(descriptor)
        if data is None:
            raise missing(descriptor)
        self.diff_ids.append(diff_id)
        return LayerRecord(
            descriptor.digest, len(data), descriptor.media_type, sha256(data), len(data), FILE_BYTES
        )

    def leaf(self, descriptor: Descriptor) -> None:
        if self.document(descriptor) is None:
            raise missing(descriptor)
        self.leaves.append(descriptor.digest)

    def plain(self, *texts: str, **fields: Any) -> dict[str, Any]:
        layers = [layer(text) for text in texts]
        return self.manifest(
            self.blob(config_of(*layers, **fields), OCI_CONFIG),
            [self.blob(each, OCI_LAYER) for each in layers],
        )

    def read(self, top: dict[str, Any]) -> ImageRecord:
        return read_tree(described(top), self)


def described(value: dict[str, Any]) -> Descriptor:
    return Descriptor(value["mediaType"], Digest(value["digest"]), value["size"])


def kinds(record: ImageRecord) -> list[str]:
    return [blob.kind for blob in record.blobs]


def test_an_image_is_its_config_and_its_layers() -> None:
    tree = Tree()
    record = tree.read(tree.plain("a", "b", created="1970-01-01T00:00:01Z"))

    assert record.id == sha256(config_of(layer("a"), layer("b"), created="1970-01-01T00:00:01Z"))
    assert kinds(record) == ["manifest", "config", "layer", "layer"]
    assert [each.diff_id for each in record.layers] == [sha256(layer("a")), sha256(layer("b"))]
    assert (record.os, record.architecture, record.created) == ("linux", "amd64", 1_000_000_000)
    assert record.blobs[0].children == tuple(blob.digest for blob in record.blobs[1:])


def test_a_repeated_layer_is_one_blob_but_counts_each_time() -> None:
    tree = Tree()
    record = tree.read(tree.plain("a", "b", "a"))

    assert len(record.layers) == 2
    assert record.size == 3 * FILE_BYTES
    assert len(record.blobs[0].children) == 4


def test_an_image_without_layers_is_one() -> None:
    tree = Tree()

    assert tree.read(tree.plain()).layers == ()


def test_an_index_has_its_own_digest_for_an_id_and_all_platforms_below() -> None:
    tree = Tree()
    one, two = tree.plain("base", "amd"), tree.plain("base", "arm", architecture="arm64")
    top = tree.index(one, two)
    record = tree.read(top)

    assert record.id == top["digest"]
    assert record.architecture == "amd64"
    assert len(record.layers) == 3 and record.size == 4 * FILE_BYTES
    assert record.blobs[0].children == (one["digest"], two["digest"])


def test_a_parent_comes_before_its_children_however_they_are_shared() -> None:
    tree = Tree()
    shared = tree.plain("a")
    record = tree.read(tree.index(shared, tree.index(shared, tree.plain("b"))))

    place = {blob.digest: number for number, blob in enumerate(record.blobs)}
    assert len(place) == len(record.blobs)
    for blob in record.blobs:
        assert all(place[child] > place[blob.digest] for child in blob.children)


def test_a_platform_that_is_not_there_is_left_out() -> None:
    tree = Tree()
    here, absent = tree.plain("a"), tree.plain("b")
    top = tree.index(absent, here)
    tree.remove(absent)

    assert tree.read(top).blobs[0].children == (here["digest"],)


def test_an_index_of_which_nothing_is_there_is_refused() -> None:
    tree = Tree()
    absent = tree.plain("b")
    top = tree.index(absent)
    tree.remove(absent)

    with pytest.raises(Refused, match="has none of its manifests"):
        tree.read(top)


def test_a_missing_manifest_or_config_is_refused() -> None:
    tree = Tree()
    image = tree.plain("a")
    config = {"digest": sha256(config_of(layer("a")))}
    tree.remove(config)

    with pytest.raises(Refused, match=f"blob {config['digest']} is missing"):
        tree.read(image)
    tree.remove(image)
    with pytest.raises(Refused, match=f"blob {image['digest']} is missing"):
        tree.read(image)


def test_indexes_may_be_nested_only_so_deep() -> None:
    tree = Tree()
    top = tree.plain("a")
    for _ in range(MAX_INDEX_DEPTH):
        top = tree.index(top)

    assert len(tree.read(top).layers) == 1
    with pytest.raises(Refused, match="nested more than 8 deep"):
        tree.read(tree.index(top))


def test_an_artifact_has_the_digest_of_its_manifest_for_an_id() -> None:
    tree = Tree()
    top = tree.manifest(
        tree.blob(b"{}", "application/vnd.oci.empty.v1+json"),
        [tree.blob(b"chart", OCI_LAYER)],
        artifactType="application/example",
    )
    record = tree.read(top)

    assert record.id == top["digest"]
    assert kinds(record) == ["manifest", "other", "other"]
    assert record.layers == () and record.created is None
    assert tree.leaves == [EMPTY_CONFIG, sha256(b"chart")]


def test_an_encrypted_layer_is_kept_unread() -> None:
    tree = Tree()
    config = tree.blob(config_of(b"secret", layer("a")), OCI_CONFIG)
    top = tree.manifest(
        config,
        [tree.blob(b"cipher", OCI_LAYER + "+encrypted"), tree.blob(layer("a"), OCI_LAYER)],
    )
    record = tree.read(top)

    assert record.id == config["digest"]
    assert kinds(record) == ["manifest", "config", "other", "layer"]
    assert tree.leaves == [sha256(b"cipher")]


def test_an_attestation_in_an_index_is_kept() -> None:
    tree = Tree()
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    attestation = tree.manifest(
        tree.blob(config_of(statement, os="unknown", architecture="unknown"), OCI_CONFIG),
        [tree.blob(statement, "application/vnd.in-toto+json")],
    )
    record = tree.read(tree.index(attestation, tree.plain("a")))

    assert record.os == "linux"
    assert sha256(statement) in tree.leaves


def test_what_a_referrer_refers_to_need_not_be_there() -> None:
    tree = Tree()
    subject = {"mediaType": "application/x", "digest": sha256(b"gone"), "size": 4}
    top = tree.manifest(tree.blob(b"{}", "application/vnd.oci.empty.v1+json"), [], subject=subject)

    assert sha256(b"gone") not in {blob.digest for blob in tree.read(top).blobs}


def test_a_child_of_an_unknown_type_is_kept_but_not_read() -> None:
    tree = Tree()
    odd = tree.blob(b"<xml/>", "application/xml")

    assert kinds(tree.read(tree.index(odd, tree.plain("a"))))[:2] == ["index", "other"]


def test_a_payload_that_is_an_image_to_others_is_that() -> None:
    tree = Tree()
    image = tree.plain("a")
    artifact = tree.manifest(
        tree.blob(b"{}", "application/vnd.oci.empty.v1+json"),
        [{**image, "mediaType": "application/octet-stream"}, tree.blob(layer("a"), OCI_LAYER)],
    )
    record = tree.read(tree.index(artifact, image))

    assert sorted(kinds(record)) == ["config", "index", "layer", "manifest", "manifest", "other"]


def test_a_foreign_layer_that_is_not_there_is_refused_and_not_fetched() -> None:
    tree = Tree()
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": sha256(b"windows"),
        "size": 7,
        "urls": ["https://example.com/layer"],
    }
    top = tree.manifest(tree.blob(config_of(b"windows"), OCI_CONFIG), [foreign])

    with pytest.raises(Refused, match="foreign layer"):
        tree.read(top)


def test_it_is_left_out_where_the_manifest_is_known_to_lack_it() -> None:
    tree = Tree()
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": sha256(b"windows"),
        "size": 7,
        "urls": ["https://example.com/layer"],
    }
    config = tree.blob(config_of(b"windows"), OCI_CONFIG)
    top = tree.manifest(config, [foreign])
    asked = []

    def lacks(manifest: Digest, layer: Digest) -> bool:
        asked.append((manifest, layer))
        return True

    record = read_tree(described(top), tree, lacks=lacks)

    assert asked == [(top["digest"], foreign["digest"])]
    assert record.id == config["digest"]
    assert record.blobs[0].children == (config["digest"],)
    assert record.layers == ()


@pytest.mark.parametrize(
    "entry",
    [
        {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
        {"mediaType": OCI_LAYER, "urls": ["https://example.com/layer"]},
    ],
)
def test_a_layer_is_foreign_by_its_type_and_by_where_it_is_to_be_had(entry: dict[str, Any]) -> None:
    tree = Tree()
    absent = {**entry, "digest": sha256(b"absent"), "size": 6}
    top = tree.manifest(tree.blob(config_of(b"absent"), OCI_CONFIG), [absent])

    with pytest.raises(Refused, match=rf"^blob {sha256(b'absent')} is missing$"):
        tree.read(top)


def test_an_artifact_of_which_a_part_is_not_there_is_refused() -> None:
    tree = Tree()
    absent = tree.blob(b"chart", "application/x")
    top = tree.manifest(tree.blob(b"{}", "application/vnd.oci.empty.v1+json"), [absent])
    tree.remove(absent)

    with pytest.raises(Refused, match=rf"^blob {absent['digest']} is missing$"):
        tree.read(top)


def test_what_is_listed_and_is_no_document_is_kept_under_its_digest() -> None:
    tree = Tree()
    odd = tree.blob(b"<xml/>", "application/xml")
    record = tree.read(odd)

    assert (record.id, kinds(record), record.size) == (odd["digest"], ["other"], 0)
    assert tree.leaves == [odd["digest"]]


@pytest.mark.parametrize("media_type", sorted(SCHEMA1))
def test_a_manifest_of_schema_1_is_refused_listed_or_in_an_index(media_type: str) -> None:
    tree = Tree()
    old = tree.blob(b"{}", media_type)

    for top in (old, tree.index(tree.plain("a"), old)):
        with pytest.raises(Refused, match=r"is of schema 1, which is obsolete$"):
            tree.read(top)


def test_an_index_of_nothing_is_an_image_of_nothing() -> None:
    tree = Tree()

    assert kinds(tree.read(tree.index())) == ["index"]


def test_what_an_index_lists_twice_it_holds_twice_and_it_counts_once() -> None:
    tree = Tree()
    one = tree.plain("a")
    record = tree.read(tree.index(one, one))

    assert record.blobs[0].children == (one["digest"], one["digest"])
    assert record.size == FILE_BYTES


def test_a_leaf_is_asked_for_once() -> None:
    tree = Tree()
    odd = tree.blob(b"<xml/>", "application/xml")
    tree.read(tree.index(odd, odd, tree.plain("a")))

    assert tree.leaves == [odd["digest"]]


@pytest.mark.parametrize("kind", [OCI_MANIFEST, OCI_INDEX])
def test_what_was_kept_as_a_leaf_is_read_where_it_is_a_document(kind: str) -> None:
    tree = Tree()
    document = tree.plain("a") if kind == OCI_MANIFEST else tree.index(tree.plain("a"))
    leaf = {**document, "mediaType": "application/octet-stream"}

    assert len(tree.read(tree.index(leaf, document)).layers) == 1


def test_a_manifest_that_is_also_a_config_keeps_what_it_holds() -> None:
    tree = Tree()
    inner = tree.plain("a")
    value = json.loads(tree.files[f"blobs/sha256/{inner['digest'][7:]}"])
    both = tree.blob(json.dumps({**value, **json.loads(config_of())}).encode(), OCI_MANIFEST)
    outer = tree.manifest({**both, "mediaType": OCI_CONFIG}, [])
    record = tree.read(tree.index(both, outer))

    (node,) = (blob for blob in record.blobs if blob.digest == both["digest"])
    assert (node.kind, len(node.children)) == ("manifest", 2)


def test_a_config_that_has_diff_ids_for_some_layers_does_not_identify_the_image() -> None:
    tree = Tree()
    module = tree.blob(b"wasm", "application/wasm")
    config = tree.blob(config_of(layer("a")), OCI_CONFIG)
    top = tree.manifest(config, [module, tree.blob(layer("a"), OCI_LAYER)])
    record = tree.read(top)

    assert record.id == top["digest"]
    assert kinds(record) == ["manifest", "config", "other", "layer"]
    assert record.architecture == "amd64"


def test_an_encrypted_layer_counts_among_those_with_a_diff_id() -> None:
    tree = Tree()
    config = tree.blob(config_of(b"secret", layer("a")), OCI_CONFIG)
    layers = [
        tree.blob(b"wasm", "application/wasm"),
        tree.blob(b"cipher", OCI_LAYER + "+encrypted"),
        tree.blob(layer("a"), OCI_LAYER),
    ]

    record = tree.read(tree.manifest(config, layers))

    assert kinds(record) == ["manifest", "config", "other", "other", "layer"]
    assert tree.diff_ids == [sha256(layer("a"))]


@pytest.mark.parametrize("layers", [0, 1])
def test_a_config_that_does_not_speak_of_layers_is_refused_in_dockers_words(layers: int) -> None:
    tree = Tree()
    config = tree.blob(b'{"os": "linux"}', OCI_CONFIG)
    top = tree.manifest(config, [tree.blob(layer("a"), OCI_LAYER)] * layers)

    with pytest.raises(Refused, match=r"^invalid image JSON, no RootFS key in config sha256:"):
        tree.read(top)


def test_the_config_of_an_image_tells_of_it_also_where_it_says_no_system() -> None:
    tree = Tree()
    record = tree.read(tree.plain("a", os="", architecture="wasm"))

    assert (record.os, record.architecture) == ("", "wasm")
    assert record.id == record.blobs[1].digest


def test_a_layer_of_another_size_than_its_descriptor_says_is_refused() -> None:
    tree = Tree()
    one = tree.blob(layer("a"), OCI_LAYER)
    top = tree.manifest(
        tree.blob(config_of(layer("a")), OCI_CONFIG), [{**one, "size": one["size"] + 1}]
    )

    with pytest.raises(Refused, match=f"^blob {one['digest']} is {one['size']} bytes long"):
        tree.read(top)


def test_a_tree_may_have_so_many_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree()
    top = tree.index(tree.plain("a"))  # an index, a manifest, a config

    monkeypatch.setattr(imagetree, "MAX_DOCUMENTS", 3)
    assert tree.read(top)
    monkeypatch.setattr(imagetree, "MAX_DOCUMENTS", 2)
    with pytest.raises(Refused, match=r"exceeds the limit of 2 documents$"):
        tree.read(top)


def test_a_tree_may_have_so_many_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree()
    top = tree.plain("a", "b", "a")  # a manifest, a config, two layers

    monkeypatch.setattr(imagetree, "MAX_LEAVES", 4)
    assert tree.read(top)
    monkeypatch.setattr(imagetree, "MAX_LEAVES", 3)
    with pytest.raises(Refused, match=r"exceeds the limit of 3 blobs$"):
        tree.read(top)


def test_a_document_is_not_asked_for_where_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree()
    top = tree.index()

    monkeypatch.setattr(imagetree, "MAX_DOCUMENT", top["size"])
    assert tree.read(top)
    monkeypatch.setattr(imagetree, "MAX_DOCUMENT", top["size"] - 1)
    with pytest.raises(Refused, match=f"exceeds the limit of {top['size'] - 1} bytes$"):
        tree.read(top)


def test_another_number_of_layers_than_diff_ids_is_refused_in_dockers_words() -> None:
    tree = Tree()
    top = tree.manifest(tree.blob(config_of(b"a", b"b"), OCI_CONFIG), [tree.blob(b"a", OCI_LAYER)])

    with pytest.raises(
        Refused, match=r"^invalid manifest, layers length mismatch: expected 1, got"
    ):
        tree.read(top)


def test_layers_in_another_order_than_their_diff_ids_are_refused() -> None:
    tree = Tree()
    one, two = layer("1"), layer("2")
    top = tree.manifest(
        tree.blob(config_of(two, one), OCI_CONFIG),
        [tree.blob(one, OCI_LAYER), tree.blob(two, OCI_LAYER)],
    )

    with pytest.raises(Refused, match="invalid diffID for layer 0: expected"):
        tree.read(top)


def test_a_document_of_another_digest_or_size_is_refused() -> None:
    tree = Tree()
    top = tree.plain("a")
    name = f"blobs/sha256/{top['digest'][7:]}"
    right = tree.files[name]

    tree.files[name] = right.replace(b"{", b"[", 1)
    with pytest.raises(Refused, match="other content"):
        tree.read(top)
    tree.files[name] = right + b" "
    with pytest.raises(Refused, match=f"is {len(right) + 1} bytes long"):
        tree.read(top)


def test_one_blob_under_two_sizes_is_refused() -> None:
    tree = Tree()
    one = tree.plain("a")

    with pytest.raises(Refused, match="bytes long, but its descriptor says"):
        tree.read(tree.index(one, {**one, "size": one["size"] + 1}))
