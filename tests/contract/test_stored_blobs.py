"""Stored blobs as a sink sees them, and what it writes to: on all that stands for them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from casstore.errors import Damaged
from casstore.files.placedfile import PlacedFile
from casstore.flows.deltas import MadeBlobs
from casstore.flows.push import WithDocuments
from casstore.flows.storedfiles import StoredFiles as StoredInStore
from casstore.model.digest import Digest, sha256
from casstore.progress import Progress
from casstore.store import Store, store_of
from casstore.store.session import Session
from casstore.transfer.counted import CountedTarget
from tests.contract.opening import BACKENDS, NOW
from tests.contract.records import digest_of
from tests.transfer.building import config_of, docker_archive, layer
from tests.transfer.storedfiles import StoredFiles
from tests.transfer.test_blobplaces import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from casstore.ports.blobs import Placed, StoredBlobs

TAR = layer("a layer")
CONFIG = config_of(TAR)


class Placing(NamedTuple):
    """Zeros to be written over, and how they are read afterwards."""

    target: Placed
    read: Callable[[], bytes]


class Sample(NamedTuple):
    """A store with an image, and the digests of what is in it."""

    blobs: StoredBlobs
    document: Digest
    layer: Digest


@pytest.fixture(params=[*BACKENDS, "with documents", "with deltas", "StoredFiles"])
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sample]:
    if request.param == "StoredFiles":
        double = StoredFiles(tmp_path)
        image = double.add_image(TAR)
        (record,) = double.intake.layers.values()
        yield Sample(double, image.top.digest, record.digest)
        return
    backend = BACKENDS.get(request.param, BACKENDS["memory"])(tmp_path)
    with store_of(Session(backend), Store) as store:
        store.load(io.BytesIO(docker_archive({"layers": [TAR], "config": CONFIG, "tags": ["a:1"]})))
        view = backend.view(NOW)
        (record,) = view.all_layers()
        blobs: StoredBlobs = StoredInStore(backend.blobs, view)
        if request.param == "with documents":
            blobs = WithDocuments(blobs, b"a document that is not in the store")
        if request.param == "with deltas":
            with (tmp_path / "scratch").open("w+b") as scratch:
                yield Sample(MadeBlobs(blobs, scratch), sha256(CONFIG), record.digest)
            return
        yield Sample(blobs, sha256(CONFIG), record.digest)


def test_a_document_is_read_whole(sample: Sample) -> None:
    assert sha256(sample.blobs.read(sample.document)) == sample.document


def test_a_blob_is_opened_for_reading(sample: Sample) -> None:
    with sample.blobs.open(sample.layer) as file:
        assert sha256(file.read()) == sample.layer


def test_what_is_there_is_told_apart_from_what_is_not(sample: Sample) -> None:
    assert sample.blobs.has(sample.document)
    assert sample.blobs.has(sample.layer)
    assert not sample.blobs.has(digest_of("nothing"))


def test_what_is_not_there_is_damage_to_who_wants_it(sample: Sample) -> None:
    with pytest.raises(Damaged):
        sample.blobs.read(digest_of("nothing"))
    with pytest.raises(Damaged):
        sample.blobs.open(digest_of("nothing"))


def test_a_path_is_that_of_a_file_with_these_bytes(sample: Sample) -> None:
    path = sample.blobs.path(sample.layer)

    if path is not None:
        with open(path, "rb") as file:
            assert sha256(file.read()) == sample.layer


def test_a_layer_is_told_with_its_diff_id(sample: Sample) -> None:
    record = sample.blobs.layer(sample.layer)

    assert record is not None
    assert (record.digest, record.diff_id) == (sample.layer, sha256(TAR))


def test_what_is_no_layer_has_no_record_of_one(sample: Sample) -> None:
    assert sample.blobs.layer(sample.document) is None
    assert sample.blobs.layer(digest_of("nothing")) is None


def test_a_delta_that_was_written_is_a_blob_without_a_path(sample: Sample, tmp_path: Path) -> None:
    with (tmp_path / "deltas").open("w+b") as file:
        blobs = MadeBlobs(sample.blobs, file)
        made = []
        for data in (b"first", b"too large to be of use", b"second"):
            file.write(data)
            made.append(blobs.add(10))

        assert [one and one.digest for one in made] == [sha256(b"first"), None, sha256(b"second")]
        for data in (b"first", b"second"):
            digest = sha256(data)
            assert blobs.has(digest)
            assert blobs.path(digest) is None
            with blobs.open(digest) as one, blobs.open(digest) as other:
                assert (one.read(3), other.read(), one.read()) == (data[:3], data, data[3:])
        assert (blobs.has(sample.layer), blobs.has(digest_of("x"))) == (True, False)


SIZE = 200_000


@pytest.fixture(params=["file", "counted", "double"])
def placed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Placing]:
    if request.param == "double":
        double = Target(SIZE)
        yield Placing(double, lambda: bytes(double.data))
        return
    path = tmp_path / "new"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    with PlacedFile(str(path), descriptor, SIZE) as file:
        target: Placed = file
        if request.param == "counted":
            target = CountedTarget(file, Progress().task("Saving", SIZE))

        def read() -> bytes:
            file.close()
            return path.read_bytes()

        yield Placing(target, read)
    os.close(descriptor)


def test_what_nobody_has_written_is_zero(placed: Placing) -> None:
    assert placed.read() == bytes(SIZE)


def test_bytes_come_in_any_order_and_stand_where_they_belong(placed: Placing) -> None:
    whole = os.urandom(SIZE)
    for start, end in ((SIZE - 7, SIZE), (5, SIZE - 7), (0, 5)):
        placed.target.place(start, memoryview(whole)[start:end])

    assert placed.read() == whole
