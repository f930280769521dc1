"""Staging: invisible until the commit, and safe from whoever removes beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.errors import CasstoreError
from casstore.model.descriptor import LAYER, MANIFEST, Descriptor
from casstore.model.digest import sha256
from casstore.model.kept import LayerRecord
from casstore.model.labels import Labels
from casstore.model.record import BlobRecord, ImageRecord
from casstore.model.state import PROMISED
from casstore.rules.removal import plan_removal
from tests.contract.opening import NOW, changing
from tests.contract.records import LAYER_TYPE, MANIFEST_TYPE, digest_of, name_of

if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.ports.backend import Backend
    from casstore.ports.ingest import Ingest

DOCUMENT, TAR = b'{"a": "document"}', b"the bytes of a layer"
DIFF_ID = digest_of("the tar in it")


@pytest.fixture
def ingest(backend: Backend) -> Ingest:
    """Staging that is under way in a store that has been made."""
    with changing(backend) as edits:
        edits.commit()
    return another_ingest(backend)


def another_ingest(backend: Backend) -> Ingest:
    return backend.begin_ingest(lambda: backend.view(NOW))


def an_image(document: Digest, layer: Digest) -> ImageRecord:
    top = Descriptor(MANIFEST_TYPE, document, len(DOCUMENT))
    return ImageRecord(
        document,
        top,
        (
            BlobRecord(document, len(DOCUMENT), MANIFEST, (layer,)),
            BlobRecord(layer, len(TAR), LAYER, ()),
        ),
        (LayerRecord(layer, len(TAR), LAYER_TYPE, DIFF_ID, 100, 7),),
        None, Labels(), "linux", "amd64", "", 7,
    )  # fmt: skip


def stage_image(ingest: Ingest) -> ImageRecord:
    """Stage a document and a layer."""
    draft = ingest.draft()
    draft.write(TAR)
    draft.seal(sha256(TAR), len(TAR))
    image = an_image(ingest.add(DOCUMENT), sha256(TAR))
    ingest.add_layer(image.layers[0])
    return image


def commit(backend: Backend, ingest: Ingest, image: ImageRecord, name: str) -> None:
    ingest.flush()
    with changing(backend) as edits:
        ingest.publish(edits.known_among)
        edits.admit(image)
        edits.attach(name_of(name), image.id, image.top.digest, tagged=0)
        edits.commit()


def with_an_image(backend: Backend, name: str = "one:1") -> ImageRecord:
    """A committed image in the store."""
    with changing(backend) as edits:
        edits.commit()
    ingest = another_ingest(backend)
    image = stage_image(ingest)
    commit(backend, ingest, image, name)
    ingest.close()
    return image


def remove(backend: Backend, name: str) -> None:
    with changing(backend) as edits:
        edits.apply(plan_removal(edits, name))
        edits.commit()
        doomed = list(edits.doomed())
    backend.blobs.discard(doomed)


def test_what_is_staged_is_in_no_store_yet(backend: Backend, ingest: Ingest) -> None:
    digest = ingest.add(DOCUMENT)

    assert backend.blobs.size(digest) is None
    assert ingest.has(digest) == len(DOCUMENT)
    assert ingest.read(digest) == DOCUMENT


def test_what_is_published_is_there_under_its_digest(backend: Backend) -> None:
    image = with_an_image(backend)

    assert backend.blobs.read(image.top.digest) == DOCUMENT
    with backend.blobs.open(sha256(TAR)) as file:
        assert file.read() == TAR


def test_what_is_given_up_leaves_nothing(backend: Backend, ingest: Ingest) -> None:
    digest = ingest.add(DOCUMENT)

    assert ingest.close() == []

    assert backend.blobs.size(digest) is None
    assert backend.arriving_bytes() == 0


def test_a_stored_blob_is_found(backend: Backend) -> None:
    image = with_an_image(backend)
    ingest = another_ingest(backend)

    assert ingest.has(image.top.digest) == len(DOCUMENT)
    assert ingest.read(image.top.digest) == DOCUMENT


def test_a_layer_is_found_by_its_diff_id(backend: Backend) -> None:
    image = with_an_image(backend)
    ingest = another_ingest(backend)

    assert ingest.layer_with_diff_id(DIFF_ID) == image.layers[0]
    assert ingest.layer(sha256(TAR)) == image.layers[0]
    assert ingest.layer_with_diff_id(digest_of("another tar")) is None


def test_a_promised_layer_is_found_by_its_digest_alone(backend: Backend, ingest: Ingest) -> None:
    image = stage_image(ingest)
    promise = image.layers[0]._replace(state=PROMISED, digest=ingest.add(b"another"))

    ingest.add_layer(promise._replace(diff_id=sha256(b"another tar")))

    assert ingest.layer(promise.digest) is not None
    assert ingest.layer_with_diff_id(sha256(b"another tar")) is None
    assert [layer.digest for layer in ingest.layers()] == [image.layers[0].digest]


def test_an_image_is_found_by_a_manifest_only_where_its_layers_are_settled(
    backend: Backend, ingest: Ingest
) -> None:
    image = stage_image(ingest)
    promised = image._replace(layers=(image.layers[0]._replace(state=PROMISED),))
    with changing(backend) as edits:
        ingest.publish(edits.known_among)
        edits.admit(promised)
        edits.commit()
    before = another_ingest(backend).manifest_of(image.id)
    with changing(backend) as edits:
        edits.record_layers(image.layers)
        edits.commit()

    assert (before, another_ingest(backend).manifest_of(image.id)) == (None, image.top)


def test_what_is_verified_is_asked_for_once_and_when_it_counts(backend: Backend) -> None:
    asked: list[None] = []

    def digests_only() -> bool:
        asked.append(None)
        return True

    ingest = backend.begin_ingest(lambda: backend.view(NOW), digests_only=digests_only)
    before = len(asked)

    assert [ingest.digests_only, ingest.digests_only] == [True, True]
    assert (before, len(asked)) == (0, 1)
    assert another_ingest(backend).digests_only is False


def test_what_was_found_comes_back_if_a_removal_takes_it_before_the_commit(
    backend: Backend,
) -> None:
    image = with_an_image(backend)
    ingest = another_ingest(backend)
    assert ingest.has(image.top.digest)
    assert ingest.layer(sha256(TAR))

    remove(backend, "one:1")
    commit(backend, ingest, image, "two:1")

    assert backend.blobs.read(image.top.digest) == DOCUMENT
    assert backend.blobs.size(sha256(TAR)) == len(TAR)


def test_a_failed_commit_knows_which_blobs_it_named_for_nothing(
    backend: Backend, ingest: Ingest
) -> None:
    image = stage_image(ingest)

    with changing(backend) as edits:
        ingest.publish(edits.known_among)

    assert set(ingest.named) == {image.top.digest, sha256(TAR)}


def test_only_what_is_wanted_is_kept(ingest: Ingest) -> None:
    document = ingest.add(DOCUMENT)
    other = ingest.add(b"another document")

    ingest.keep_only({document})

    assert (ingest.has(document), ingest.has(other)) == (len(DOCUMENT), None)


def test_two_can_stage_the_same_at_a_time(backend: Backend, ingest: Ingest) -> None:
    other = another_ingest(backend)
    first, second = stage_image(ingest), stage_image(other)

    commit(backend, ingest, first, "one:1")
    commit(backend, other, second, "two:1")

    assert len(backend.view(NOW).references_of(first.id)) == 2
    assert ingest.close() == other.close() == []
    assert not isinstance(backend.blobs.read(first.top.digest), CasstoreError)
