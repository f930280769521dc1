"""Artifacts with a subject: they go with it, and are in nobody's way while it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.model.digest import Digest
from casstore.store import Store
from tests.transfer.building import Layout

EMPTY = "application/vnd.oci.empty.v1+json"


class Signed:
    """A layout with an image and two artifacts that refer to it, one without a name."""

    def __init__(self, repository: str = "app") -> None:
        self.layout = Layout()
        image = self.layout.image("x")
        self.image = self.layout.publish(image, f"{repository}:1")
        empty = self.layout.blob(b"{}", EMPTY)
        self.sbom = self.layout.publish(
            self.layout.manifest(
                empty,
                [self.layout.blob(b"an sbom", "text/spdx")],
                artifactType="text/spdx",
                subject=image,
            )
        )
        self.signature = self.layout.publish(
            self.layout.manifest(empty, [self.layout.blob(b"signed", "text/plain")]),
            f"{repository}:sha256-{self.image.hex}.sig",
        )


@pytest.fixture
def signed() -> Signed:
    return Signed()


@pytest.fixture
def store(tmp_path: Path, signed: Signed) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(signed.layout.write(str(tmp_path / "layout")))
        yield store


def listed(store: Store, *, all: bool = False) -> set[Digest]:
    return {image.id for image in store.images(all=all)}


def test_rmi_of_an_image_leaves_nothing_that_refers_to_it(store: Store, signed: Signed) -> None:
    store.remove(["app:1"])

    assert listed(store, all=True) == set()
    assert store.df().blobs == 0


def test_an_artifact_without_a_name_is_listed_with_all_images_only(
    store: Store, signed: Signed
) -> None:
    assert signed.sbom not in listed(store)
    assert signed.sbom in listed(store, all=True)


def test_prune_keeps_what_refers_to_an_image_that_is_there(store: Store, signed: Signed) -> None:
    store.prune()

    assert {signed.sbom, signed.signature} < listed(store, all=True)


def test_inspect_lists_what_refers_to_an_image(store: Store, signed: Signed) -> None:
    referrers = store.inspect("app:1")["Casstore"]["Referrers"]

    assert [(one["Digest"], one["ArtifactType"]) for one in referrers] == [
        (signed.sbom, "text/spdx"),
        (signed.signature, EMPTY),
    ]


def test_a_rebuilt_database_knows_what_refers_to_what(store: Store, signed: Signed) -> None:
    store.check(rebuild=True)
    store.remove(["app:1"])

    assert listed(store, all=True) == set()
    assert store.check().clean
