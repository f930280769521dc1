"""A bulk fill gives the database that one change after the other would have given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from casstore.backends.local import schema
from casstore.backends.local.bulk import BulkIndex
from casstore.backends.local.edits import LocalEdits
from casstore.model.descriptor import CONFIG, INDEX, LAYER, MANIFEST, Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import LayerRecord
from casstore.model.labels import Labels
from casstore.model.record import BlobRecord, ImageRecord
from casstore.model.reference import parse_name

TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

# image (a manifest), its layers; an index of manifests is `image+image`
Case = Sequence[tuple[str, str]]
CASES: dict[str, Case] = {
    "one": [("a", "1 2")],
    "shared layers": [("a", "1 2"), ("b", "1 3"), ("c", "3 1")],
    "a layer twice in one image": [("a", "1 1 2"), ("b", "1")],
    "the same again": [("a", "1 2"), ("a", "1 2")],
    "an index and one of its platforms": [("a", "1"), ("a+b", "1 2")],
    "an index that first came without a platform": [("a+b-b", "1 2"), ("a+b", "1 2")],
    "an index that then came without a platform": [("a+b", "1 2"), ("a+b-b", "1 2")],
    "two indexes that share": [("a+b", "1 2"), ("b+c", "2 3"), ("c", "3")],
}


def digest(name: str) -> Digest:
    return sha256(name.encode())


def image(name: str, texts: str) -> ImageRecord:
    """An image `a`, an index `a+b` with a layer each, or `a+b-b`: it without its platform b."""
    layers = texts.split()
    whole, _, absent = name.partition("-")
    parts = whole.split("+")
    blobs = []
    if len(parts) == 1:
        needs = tuple(digest(one) for one in [f"config {name}", *layers])
        blobs = [BlobRecord(digest(name), 5, MANIFEST, needs)]
        blobs.append(BlobRecord(needs[0], 6, CONFIG, ()))
        own, top = needs[0], digest(name)
    else:
        there = [(part, one) for part, one in zip(parts, layers, strict=True) if part != absent]
        layers = [one for _, one in there]
        own = top = digest(whole)
        blobs = [BlobRecord(top, 9, INDEX, tuple(digest(part) for part, _ in there))]
        for part, one in there:
            needs = (digest(f"config {part}"), digest(one))
            blobs.append(BlobRecord(digest(part), 5, MANIFEST, needs))
            blobs.append(BlobRecord(needs[0], 6, CONFIG, ()))
    blobs += [BlobRecord(digest(one), 100, LAYER, ()) for one in dict.fromkeys(layers)]
    records = tuple(
        LayerRecord(digest(one), 100, LAYER_TYPE, digest(f"plain {one}"), 200, 150)
        for one in dict.fromkeys(layers)
    )
    size = 150 * len(layers)
    return ImageRecord(
        own, Descriptor(TYPE, top, blobs[0].size), tuple(blobs), records, 7, Labels([("k", "v")]),
        "linux", "amd64", "", size, digest("subject") if name == "b" else None,
    )  # fmt: skip


def content(connection: schema.Connection) -> dict[str, list[Any]]:
    """Every table, digests in place of row numbers, and the rest of the schema."""
    told = {
        "blob": "SELECT digest, size, kind, refcount FROM blob",
        "edge": "SELECT p.digest, position, c.digest FROM edge JOIN blob p ON p.id = parent"
        " JOIN blob c ON c.id = child",
        "layer": "SELECT digest, compression, diff_id, diff_size, file_bytes FROM layer"
        " JOIN blob ON blob.id = layer.blob",
        "image": "SELECT i.digest, p.digest, i.created, i.size, i.os, i.architecture, i.variant,"
        " i.labels FROM image i LEFT JOIN image p ON p.id = i.parent",
        "holding": "SELECT image.digest, blob.digest, media_type FROM holding"
        " JOIN image ON image.id = holding.image JOIN blob ON blob.id = manifest",
        "subject": "SELECT blob.digest, subject.digest FROM subject JOIN blob ON blob.id=manifest",
        "pin": "SELECT digest FROM pin JOIN image ON image.id = pin.image",
        "schema": "SELECT type, name, sql FROM sqlite_schema",
    }
    found = {name: sorted(connection.execute(sql), key=repr) for name, sql in told.items()}
    found["reference"] = connection.execute(
        "SELECT name, image.digest, blob.digest, tagged FROM reference"
        " JOIN image ON image.id = image JOIN blob ON blob.id = manifest ORDER BY reference.id"
    ).fetchall()
    return found


def one_by_one(case: Case) -> dict[str, list[Any]]:
    with closing(schema.memory()) as connection:
        index = LocalEdits(connection, now=0, hard={})
        index.begin()
        for number, (name, layers) in enumerate(case):
            record = image(name, layers)
            index.admit(record)
            index.attach(
                parse_name(f"name{number}").reference, record.id, record.top.digest, tagged=0
            )
        for name, layers in case[1:]:
            index.link_parent(image(name, layers).id, image(*case[0]).id)
        index.set_pin(image(*case[-1]).id, pinned=True)
        index.commit()
        return content(connection)


def at_once(case: Case) -> dict[str, list[Any]]:
    with closing(schema.memory()) as connection:
        bulk = BulkIndex(connection)
        bulk.begin()
        own = 0
        for number, (name, layers) in enumerate(case):
            record = image(name, layers)
            own = bulk.add(record)
            bulk.attach(parse_name(f"name{number}").reference, own, record.top.digest)
            if number:
                bulk.set_origin(own, image(*case[0]).id)
            bulk.set_origin(own, digest("a parent that never comes"))
        bulk.pin(own)
        bulk.finish()
        connection.execute("COMMIT")
        return content(connection)


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_same_as_one_by_one(name: str) -> None:
    assert at_once(CASES[name]) == one_by_one(CASES[name])


def test_counts_are_kept_again_afterwards() -> None:
    with closing(schema.memory()) as connection:
        bulk = BulkIndex(connection)
        bulk.begin()
        bulk.add(image("a", "1 2"))
        bulk.finish()
        connection.execute("COMMIT")
        connection.execute("DELETE FROM edge")

        assert connection.execute("SELECT sum(refcount) FROM blob").fetchone() == (1,)


def test_a_name_that_comes_again_is_told_with_its_last_image() -> None:
    with closing(schema.memory()) as connection:
        bulk = BulkIndex(connection)
        bulk.begin()
        name = parse_name("a").reference
        for text in ("a", "b"):
            bulk.attach(name, bulk.add(image(text, "1")), digest(text))
        bulk.finish()

        assert list(bulk.names_given_again()) == [(name, digest("config b"), digest("b"))]


def test_the_image_of_a_manifest_is_known_by_all_that_its_record_says() -> None:
    with closing(schema.memory()) as connection:
        bulk = BulkIndex(connection)
        bulk.begin()
        top = image("a", "1").top
        own = bulk.add(image("a", "1"))

        assert bulk.holder(top) == own
        assert bulk.holder(top._replace(size=4)) is None
        assert bulk.holder(top._replace(media_type="other")) is None
        assert bulk.holder(top._replace(digest=digest("1"))) is None


def test_a_blob_that_is_a_document_too_is_no_layer() -> None:
    plain = image("a", "1")
    blobs = [blob._replace(kind=CONFIG) if blob.kind == LAYER else blob for blob in plain.blobs]
    record = plain._replace(blobs=tuple(blobs))

    with closing(schema.memory()) as connection:
        bulk = BulkIndex(connection)
        bulk.begin()
        bulk.add(record)
        bulk.finish()
        connection.execute("COMMIT")
        at_once = content(connection)
    with closing(schema.memory()) as connection:
        index = LocalEdits(connection, now=0, hard={})
        index.begin()
        index.admit(record)
        index.commit()
        one_by_one = content(connection)

    assert at_once == one_by_one
    assert at_once["layer"] == []
