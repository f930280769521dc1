"""Staging as a source of images sees it: on each backend, and on what stands for it in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.errors import Damaged, Refused
from casstore.model.digest import sha256
from casstore.model.kept import LayerRecord
from tests.contract.opening import BACKENDS, changing
from tests.contract.records import LAYER_TYPE, digest_of
from tests.contract.test_ingest import another_ingest
from tests.transfer.intake import FakeIntake
from tests.transfer.memoryintake import MemoryIntake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from casstore.ports.ingest import Intake

DOCUMENT, TAR = b'{"a": "document"}', b"the bytes of a layer"
LAYER = LayerRecord(sha256(TAR), len(TAR), LAYER_TYPE, digest_of("the tar in it"), 100, 7)
DOUBLES: dict[str, Callable[[], Intake]] = {"MemoryIntake": MemoryIntake, "FakeIntake": FakeIntake}


@pytest.fixture(params=[*BACKENDS, *DOUBLES])
def intake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Intake]:
    """Staging that is under way."""
    if request.param in DOUBLES:
        yield DOUBLES[request.param]()
        return
    backend = BACKENDS[request.param](tmp_path)
    backend.create()
    with changing(backend) as edits:
        edits.commit()
    ingest = another_ingest(backend)
    yield ingest
    assert ingest.close() == []
    backend.close()


def stage(intake: Intake, data: bytes, *, pieces: int = 1) -> None:
    draft = intake.draft()
    size = -(-len(data) // pieces)
    for start in range(0, len(data), size):
        assert draft.write(memoryview(data)[start : start + size]) <= size
    draft.seal(sha256(data), len(data))


def test_a_document_is_read_as_it_was_added(intake: Intake) -> None:
    digest = intake.add(DOCUMENT)

    assert digest == sha256(DOCUMENT)
    assert intake.has(digest) == len(DOCUMENT)
    assert intake.read(digest) == DOCUMENT


def test_a_blob_is_read_as_it_was_written(intake: Intake) -> None:
    stage(intake, TAR, pieces=3)

    assert intake.has(sha256(TAR)) == len(TAR)
    with intake.open(sha256(TAR)) as file:
        assert file.read() == TAR


def test_a_blob_can_be_opened_by_several_at_a_time(intake: Intake) -> None:
    stage(intake, TAR)

    with intake.open(sha256(TAR)) as one, intake.open(sha256(TAR)) as other:
        assert one.read(3) == other.read(3) == TAR[:3]


def test_a_draft_is_not_there_before_it_is_sealed(intake: Intake) -> None:
    draft = intake.draft()
    draft.write(TAR)

    assert intake.has(sha256(TAR)) is None
    draft.discard()


def test_a_new_draft_begins_at_its_start(intake: Intake) -> None:
    draft = intake.draft(sha256(TAR))

    assert draft.offset == 0
    draft.write(TAR)
    draft.seal(sha256(TAR), len(TAR))
    assert intake.read(sha256(TAR)) == TAR


def test_a_draft_of_another_length_than_it_says_is_refused(intake: Intake) -> None:
    draft = intake.draft()
    draft.write(TAR)

    with pytest.raises(Refused):
        draft.seal(sha256(TAR), len(TAR) + 1)
    draft.discard()


def test_a_discarded_draft_is_gone_and_discarding_after_seal_is_harmless(intake: Intake) -> None:
    lost, kept = intake.draft(), intake.draft()
    lost.write(TAR)
    lost.discard()
    lost.discard()
    kept.write(DOCUMENT)
    kept.seal(sha256(DOCUMENT), len(DOCUMENT))
    kept.discard()

    assert intake.has(sha256(TAR)) is None
    assert intake.has(sha256(DOCUMENT)) == len(DOCUMENT)


def test_a_draft_that_is_left_is_not_there(intake: Intake) -> None:
    draft = intake.draft()
    draft.write(TAR)
    draft.leave()

    assert intake.has(sha256(TAR)) is None


def test_staging_a_blob_twice_is_harmless(intake: Intake) -> None:
    assert intake.add(DOCUMENT) == intake.add(DOCUMENT)
    stage(intake, DOCUMENT)

    assert intake.read(sha256(DOCUMENT)) == DOCUMENT


def test_what_is_neither_staged_nor_stored_is_missing(intake: Intake) -> None:
    nothing = digest_of("nothing")

    assert intake.has(nothing) is None
    assert intake.layer(nothing) is None
    assert intake.layer_with_diff_id(nothing) is None
    assert intake.manifest_of(nothing) is None
    with pytest.raises(Damaged):
        intake.open(nothing)
    with pytest.raises(Damaged):
        intake.read(nothing)


def test_a_layer_that_is_staged_is_found_by_its_diff_id(intake: Intake) -> None:
    stage(intake, TAR)
    intake.add_layer(LAYER)

    assert intake.layer_with_diff_id(LAYER.diff_id) == LAYER


def test_a_file_that_is_adopted_is_read_as_it_is(intake: Intake, tmp_path: Path) -> None:
    path = tmp_path / "a layer"
    path.write_bytes(TAR)
    path.chmod(0o444)

    if intake.adopt(str(path), sha256(TAR), len(TAR)):
        assert intake.read(sha256(TAR)) == TAR
    else:
        assert intake.has(sha256(TAR)) is None


def test_scratch_space_can_be_written_and_read(intake: Intake) -> None:
    with intake.scratch() as file:
        file.write(TAR)
        file.seek(0)
        assert file.read() == TAR
