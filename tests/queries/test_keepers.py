"""Why something is kept: whatever must go first is named."""

from __future__ import annotations

import pytest

from casstore import Digest, NotFound, Store


def keepers(store: Store, argument: str) -> list[tuple[str, str]]:
    kept = store.why(argument)
    assert kept is not None
    return [(one.kind, one.text) for one in kept.keepers]


def test_an_image_is_kept_by_references_children_and_leases(store: Store) -> None:
    store.leases.add("ci", "shop/base:1")
    with store.leases.hold("shop/base:1", name="now"):
        assert keepers(store, "shop/base:1") == [
            ("reference", "shop/base:1"), ("child", ""), ("lease", "now"), ("lease", "ci"),
        ]  # fmt: skip


def test_a_lease_that_has_expired_keeps_nothing(store: Store) -> None:
    store.leases.add("old", "shop/base:1", ttl_seconds=-1.0)

    assert "lease" not in dict(keepers(store, "shop/base:1"))


def test_a_layer_is_kept_by_the_manifests_and_images_that_need_it(store: Store) -> None:
    layer = store.get("shop/imported:1").layers[0]
    found = keepers(store, layer)

    assert [kind for kind, _ in found] == ["manifest", "manifest", "image", "image"]
    assert {text for kind, text in found if kind == "image"} == {
        "shop/imported:1", "shop/committed:1",
    }  # fmt: skip


def test_a_blob_goes_when_all_that_keeps_it_has_gone(store: Store) -> None:
    layer = store.get("shop/committed:1").layers[1]
    for _, names in [one for one in keepers(store, layer) if one[0] == "image"]:
        store.remove(names.split(", "))

    assert store.why(layer) is None


def test_a_layer_may_be_given_by_its_diff_id_or_a_prefix(store: Store) -> None:
    image = store.inspect("shop/imported:1")
    layer = store.get("shop/imported:1").layers[0]

    for argument in (image["RootFS"]["Layers"][0], layer.hex[:12], layer.hex, layer[:30]):
        kept = store.why(argument)
        assert kept is not None
        assert kept.digest == layer


def test_a_prefix_of_an_image_means_the_image(store: Store) -> None:
    kept = store.why("9b2e777a498d")
    assert kept is not None
    assert kept.kind == "image"


def test_a_name_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(NotFound, match='No such image or blob: "nosuch"'):
        store.why("nosuch")


def test_a_digest_that_is_not_there_is_kept_by_nothing(store: Store) -> None:
    assert store.why(Digest.of_hex("0" * 64)) is None


def test_a_prefix_of_several_blobs_is_refused(store: Store) -> None:
    view = store.session.view()
    first = next(
        digit for digit in "0123456789abcdef"
        if len(view.blobs_with_prefix(digit)) > 1 and len(view.images_with_prefix(digit)) != 1
    )  # fmt: skip

    with pytest.raises(NotFound, match="Several blobs start with"):
        store.why(first)


def test_an_artifact_is_kept_by_what_it_is_about(with_sbom: Store) -> None:
    (sbom,) = [image.id for image in with_sbom.images(all=True) if not image.names]

    assert keepers(with_sbom, sbom) == [("subject", "app:1")]
