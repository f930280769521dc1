"""Blobs: there whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.errors import Damaged
from casstore.model.digest import sha256
from tests.contract.records import digest_of
from tests.contract.test_ingest import DOCUMENT, TAR, with_an_image

if TYPE_CHECKING:
    from casstore.ports.backend import Backend


def test_a_blob_that_is_not_there_has_no_size_and_cannot_be_opened(backend: Backend) -> None:
    nothing = digest_of("nothing")

    assert (backend.blobs.size(nothing), backend.blobs.written(nothing)) == (None, None)
    assert backend.blobs.content(nothing, 10) is None
    with pytest.raises(Damaged):
        backend.blobs.open(nothing)
    with pytest.raises(Damaged):
        backend.blobs.read(nothing)


def test_a_document_above_the_limit_is_not_read(backend: Backend) -> None:
    image = with_an_image(backend)

    with pytest.raises(Damaged):
        backend.blobs.read(image.top.digest, len(DOCUMENT) - 1)


def test_of_content_above_the_limit_there_is_one_byte_more(backend: Backend) -> None:
    image = with_an_image(backend)

    assert backend.blobs.content(image.top.digest, 3) == DOCUMENT[:4]


def test_an_open_blob_stays_readable_when_it_is_discarded(backend: Backend) -> None:
    with_an_image(backend)

    with backend.blobs.open(sha256(TAR)) as file:
        assert backend.blobs.discard([sha256(TAR)]) == []
        assert file.read() == TAR

    assert backend.blobs.size(sha256(TAR)) is None


def test_discarding_what_is_gone_is_no_error(backend: Backend) -> None:
    with_an_image(backend)

    assert backend.blobs.discard([digest_of("nothing")]) == []
    assert backend.blobs.discard_some([digest_of("nothing")]) == (1, [])


def test_a_walk_comes_to_every_blob(backend: Backend) -> None:
    image = with_an_image(backend)

    found = {file.digest: file.size for file in backend.blobs.walk()}

    assert found == {image.top.digest: len(DOCUMENT), sha256(TAR): len(TAR)}


def test_strangers_are_those_that_are_not_known(backend: Backend) -> None:
    image = with_an_image(backend)

    strangers = [file.digest for file in backend.blobs.strangers([image.top.digest.raw])]

    assert strangers == [sha256(TAR)]
