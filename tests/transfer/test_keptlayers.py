from __future__ import annotations

import bz2
import gzip
import io
import threading
from collections.abc import Iterator
from functools import partial
from typing import IO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused, StorageError
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import LayerRecord
from casstore.model.state import PROMISED, SETTLED
from casstore.transfer import outputlimit, verification
from casstore.transfer.keptlayers import KNOWN, describe_layer, keep_layers
from casstore.transfer.layerstream import NONE, compression_of
from casstore.transfer.verification import KeepJob
from tests.transfer.building import OCI_LAYER, tar_of
from tests.transfer.memoryintake import MemoryDraft, MemoryIntake
from tests.transfer.noise import noise

SMALL = tar_of({"a": b"small"})
LARGE = tar_of({"a": noise(600_000), "b": b"123"})
WRAP = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstandard.compress,
    "plain": bytes,
}

each_wrap = pytest.mark.parametrize("wrap", list(WRAP))
each_size = pytest.mark.parametrize("tar", [SMALL, LARGE], ids=["small", "large"])


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [x.name for x in threading.enumerate() if x.name.startswith("casstore")] == []


def job(
    blob: bytes,
    diff_id: Digest | None,
    *,
    digest: Digest | None = None,
    size: int | None = None,
    position: int = 1,
    media_type: str = OCI_LAYER,
    staged: bool = False,
) -> KeepJob:
    stated = len(blob) if size is None else size
    descriptor = Descriptor(media_type, digest or sha256(blob), stated)
    return KeepJob(lambda: io.BytesIO(blob), descriptor, diff_id, position, staged)


@each_size
@each_wrap
@pytest.mark.parametrize("diff_id", ["told", "unknown"])
def test_a_blob_is_kept_byte_for_byte(tar: bytes, wrap: str, diff_id: str) -> None:
    blob, intake = WRAP[wrap](tar), MemoryIntake()

    (record,) = keep_layers([job(blob, sha256(tar) if diff_id == "told" else None)], intake)

    assert intake.blobs == {sha256(blob): blob}
    assert (record.digest, record.size, record.media_type) == (sha256(blob), len(blob), OCI_LAYER)
    assert (record.diff_id, record.diff_size) == (sha256(tar), len(tar))
    assert record.file_bytes == (5 if tar is SMALL else 600_003)
    assert intake.layers == {record.digest: record}


@settings(max_examples=20, deadline=None)
@given(contents=st.lists(st.integers(0, 300_000), min_size=1, max_size=6), width=st.integers(1, 3))
def test_records_come_in_the_order_of_the_jobs(contents: list[int], width: int) -> None:
    tars = [noise(size, size) for size in contents]
    blobs = [gzip.compress(tar, 1) for tar in tars]
    intake = MemoryIntake()

    records = keep_layers(
        [job(blob, sha256(tar)) for blob, tar in zip(blobs, tars, strict=True)],
        intake,
        width=width,
    )

    assert [record.digest for record in records] == [sha256(blob) for blob in blobs]
    assert intake.untidy == []


@each_size
def test_a_layer_that_is_not_its_diff_id_is_refused(tar: bytes) -> None:
    intake, other = MemoryIntake(), sha256(b"other")

    with pytest.raises(Refused) as caught:
        keep_layers([job(gzip.compress(tar), other, position=3)], intake)

    expected = f'invalid diffID for layer 3: expected "{other}", got "{sha256(tar)}"'
    assert str(caught.value) == expected
    assert intake.untidy == [] and intake.layers == {}


@each_size
@each_wrap
def test_a_blob_with_another_digest_is_refused(tar: bytes, wrap: str) -> None:
    blob, other, intake = WRAP[wrap](tar), sha256(b"other"), MemoryIntake()

    with pytest.raises(Refused) as caught:
        keep_layers([job(blob, sha256(tar), digest=other)], intake)

    assert str(caught.value) == f"blob {other} has other content: its digest is {sha256(blob)}"
    assert intake.untidy == []


@each_size
@each_wrap
def test_a_blob_shorter_than_its_descriptor_says_is_refused(tar: bytes, wrap: str) -> None:
    blob, intake = WRAP[wrap](tar), MemoryIntake()

    with pytest.raises(Refused, match=f"has {len(blob)} bytes, expected {len(blob) + 1}"):
        keep_layers([job(blob, sha256(tar), size=len(blob) + 1)], intake)
    assert intake.untidy == []


@each_size
@each_wrap
def test_a_blob_longer_than_its_descriptor_says_is_refused(tar: bytes, wrap: str) -> None:
    blob, intake = WRAP[wrap](tar), MemoryIntake()

    with pytest.raises(Refused, match=f"is larger than the {len(blob) - 1} bytes"):
        keep_layers([job(blob, sha256(tar), size=len(blob) - 1)], intake)
    assert intake.untidy == []


@each_size
def test_a_blob_that_does_not_decompress_to_its_end_is_refused(tar: bytes) -> None:
    intake = MemoryIntake()
    cut = gzip.compress(tar)[:-4]

    with pytest.raises(Refused, match=r"^layer 2: truncated or corrupt gzip data$"):
        keep_layers([job(cut, sha256(tar), position=2)], intake)
    assert intake.untidy == []


def test_changed_bytes_are_reported_as_another_digest_and_not_as_corruption() -> None:
    blob = gzip.compress(LARGE)
    changed = blob[:3000] + b"changed" + blob[3007:]

    with pytest.raises(Refused, match="has other content"):
        keep_layers([job(changed, sha256(LARGE), digest=sha256(blob))], MemoryIntake())


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputlimit, "ALWAYS_ALLOWED", 1 << 20)
    intake = MemoryIntake()

    with pytest.raises(Refused, match="layer 1: the uncompressed data exceeds the limit"):
        keep_layers([job(gzip.compress(bytes(20 << 20)), None)], intake)
    assert intake.untidy == []


def test_one_bad_layer_discards_the_drafts_of_those_beside_it() -> None:
    intake = MemoryIntake()
    tars = [noise(300_000, seed) for seed in range(8)]
    jobs = [job(gzip.compress(tar, 1), sha256(tar)) for tar in tars]
    jobs[2] = job(gzip.compress(tars[2], 1), sha256(b"other"), position=3)

    with pytest.raises(Refused, match="invalid diffID for layer 3"):
        keep_layers(jobs, intake, width=2)
    assert intake.untidy == []


def test_a_blob_that_several_images_have_is_read_once() -> None:
    blob, opened = gzip.compress(LARGE), []

    def open_it() -> IO[bytes]:
        opened.append(1)
        return io.BytesIO(blob)

    jobs = [job(blob, sha256(LARGE))._replace(open=open_it) for _ in range(3)]
    records = keep_layers(jobs, MemoryIntake())

    assert len(opened) == 1 and records[0] == records[1] == records[2]


def test_a_second_image_that_claims_another_diff_id_for_a_blob_is_refused() -> None:
    blob = gzip.compress(SMALL)
    jobs = [job(blob, sha256(SMALL)), job(blob, sha256(b"other"), position=4)]

    with pytest.raises(Refused, match="invalid diffID for layer 4"):
        keep_layers(jobs, MemoryIntake())


def test_a_known_layer_is_not_read_but_its_claims_are_checked() -> None:
    blob, intake = gzip.compress(SMALL), MemoryIntake()
    keep_layers([job(blob, sha256(SMALL))], intake)
    unread = job(b"", sha256(SMALL), digest=sha256(blob), size=len(blob))

    assert keep_layers([unread], intake) == list(intake.layers.values())
    with pytest.raises(Refused, match="invalid diffID"):
        keep_layers([unread._replace(diff_id=sha256(b"other"))], intake)
    with pytest.raises(Refused, match="expected 7"):
        keep_layers([job(b"", sha256(SMALL), digest=sha256(blob), size=7)], intake)


def test_a_staged_blob_is_verified_and_not_written() -> None:
    blob, intake = gzip.compress(LARGE), MemoryIntake()

    (record,) = keep_layers([job(blob, sha256(LARGE), staged=True)], intake)

    assert intake.drafts == [] and intake.layers == {sha256(blob): record}
    with pytest.raises(Refused, match="has other content"):
        keep_layers([job(blob, None, digest=sha256(b""), staged=True)], MemoryIntake())


def test_an_encrypted_layer_is_kept_under_its_digest_alone() -> None:
    blob, intake, inside = b"secret" * 20_000, MemoryIntake(), sha256(b"unknown")
    media_type = OCI_LAYER + "+gzip+encrypted"

    (record,) = keep_layers([job(blob, inside, media_type=media_type)], intake)

    assert intake.blobs == {sha256(blob): blob}
    assert (record.diff_id, record.diff_size, record.file_bytes) == (inside, 0, 0)
    with pytest.raises(Refused, match="has other content"):
        keep_layers([job(blob, None, digest=inside, media_type=media_type)], MemoryIntake())


@pytest.mark.parametrize("media_type", [OCI_LAYER, OCI_LAYER + "+gzip", OCI_LAYER + "+zstd"])
@pytest.mark.parametrize("tar", [SMALL, LARGE], ids=["small", "large"])
def test_a_diff_id_that_is_the_digest_of_the_compressed_bytes_is_refused(
    tar: bytes, media_type: str
) -> None:
    for blob in (gzip.compress(tar), zstandard.compress(tar), bz2.compress(tar)):
        intake = MemoryIntake()
        with pytest.raises(Refused, match="invalid diffID for layer 1: expected"):
            keep_layers([job(blob, sha256(blob), media_type=media_type)], intake)
        assert intake.untidy == [] and not intake.layers


@pytest.mark.parametrize("name", ["(\udcb5/\udcfdname", "\x1f\udc8bname", "BZh91AYname"])
def test_a_tar_whose_first_name_looks_compressed_is_a_tar(name: str) -> None:
    tar = tar_of({name: b"1234"})
    assert compression_of(tar) != NONE

    (record,) = keep_layers([job(tar, sha256(tar))], MemoryIntake())

    assert record.diff_id == record.digest and record.file_bytes == 4


def test_a_plain_layer_that_is_no_tar_is_kept() -> None:
    for data in (b"", b"not a tar", bytes(1024)):
        (record,) = keep_layers([job(data, sha256(data))], MemoryIntake())
        assert record.diff_id == record.digest and record.diff_size == len(data)


def test_an_error_of_a_stream_is_passed_on_and_leaves_nothing() -> None:
    intake = MemoryIntake()

    def gone() -> IO[bytes]:
        raise OSError("disk gone")

    jobs = [job(gzip.compress(LARGE), None), job(LARGE, None)._replace(open=gone)]
    with pytest.raises(OSError, match="disk gone"):
        keep_layers(jobs, intake)
    assert intake.untidy == []


def test_one_blob_is_described_without_an_intake() -> None:
    blob = gzip.compress(SMALL)
    stream = io.BytesIO(blob)

    record = describe_layer(stream, Descriptor(OCI_LAYER, sha256(blob), len(blob)), None)

    assert record.diff_id == sha256(SMALL) and record.file_bytes == 5
    assert stream.closed


def threads_that_wrote(jobs: list[KeepJob], width: int, cores: int) -> set[str]:
    """Names of the threads that wrote the drafts, without their numbers."""
    names: set[str] = set()

    write = MemoryDraft.write

    def noted(draft: MemoryDraft, data: bytes | memoryview) -> int:
        names.add(threading.current_thread().name.partition("_")[0])
        return write(draft, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryDraft, "write", noted)
        patch.setattr(verification, "cores", lambda: cores)
        keep_layers(jobs, MemoryIntake(), width=width)
    return names


def test_a_layer_alone_is_hashed_and_written_by_a_second_thread() -> None:
    one = [job(gzip.compress(LARGE), sha256(LARGE))]

    assert threads_that_wrote(one, width=2, cores=2) == {"casstore-side"}


def test_a_layer_on_the_only_core_has_one_thread() -> None:
    one = [job(gzip.compress(LARGE), sha256(LARGE))]

    assert threads_that_wrote(one, width=1, cores=1) == {"casstore-keep"}


def test_layers_that_keep_all_cores_busy_have_a_thread_each() -> None:
    met = threading.Barrier(2)

    class Meeting(io.BytesIO):
        """Both layers are in work before the first of them is read, and until both were."""

        ended = False

        def read(self, size: int | None = -1, /) -> bytes:
            if not self.tell():
                met.wait(30)
            data = super().read(size)
            if not data and not self.ended:
                self.ended = True
                met.wait(30)
            return data

    blobs = [gzip.compress(noise(size), 1) for size in (300_000, 300_001)]
    jobs = [job(blob, None)._replace(open=partial(Meeting, blob)) for blob in blobs]

    assert threads_that_wrote(jobs, width=2, cores=2) == {"casstore-keep"}


@pytest.mark.parametrize("cores", [1, 2])
def test_an_error_while_a_draft_is_written_ends_the_load(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "cores", lambda: cores)
    intake = MemoryIntake()

    def full(draft: MemoryDraft, data: bytes | memoryview) -> int:
        raise StorageError("disk full")

    monkeypatch.setattr(MemoryDraft, "write", full)
    with pytest.raises(StorageError, match="disk full"):
        keep_layers([job(gzip.compress(LARGE), sha256(LARGE))], intake)
    assert intake.untidy == []


# Digests alone


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


class DigestIntake(MemoryIntake):
    digests_only = True


def kept(blob: bytes, diff_id: Digest, intake: MemoryIntake) -> LayerRecord:
    return keep_layers([job(blob, diff_id)], intake)[0]


@each_size
def test_a_layer_that_is_held_to_its_digest_is_a_promise(tar: bytes) -> None:
    intake, blob = DigestIntake(), zipped(tar)

    record = kept(blob, sha256(tar), intake)

    assert record == LayerRecord(
        sha256(blob), len(blob), OCI_LAYER, sha256(tar), 0, len(blob), PROMISED
    )
    assert intake.blobs == {sha256(blob): blob}
    assert intake.layers == {record.digest: record}


def test_what_is_in_it_is_not_looked_at() -> None:
    assert kept(b"no layer at all", sha256(SMALL), DigestIntake()).state == PROMISED


@pytest.mark.parametrize(
    "blob", [zipped(SMALL)[:-1] + b"X", zipped(SMALL)[:-1], zipped(SMALL) + b"X"]
)
def test_its_digest_and_size_are_verified(blob: bytes) -> None:
    intake, right = DigestIntake(), zipped(SMALL)

    with pytest.raises(Refused):
        keep_layers([job(blob, sha256(SMALL), digest=sha256(right), size=len(right))], intake)
    assert intake.blobs == {}


def test_a_plain_layer_has_its_files_counted_for_its_digest_is_its_diff_id() -> None:
    assert kept(SMALL, sha256(SMALL), DigestIntake()).state == SETTLED


def test_the_same_promise_is_not_read_again() -> None:
    intake, blob = DigestIntake(), zipped(SMALL)
    record = kept(blob, sha256(SMALL), intake)
    unread = KeepJob(_unreadable, Descriptor(OCI_LAYER, record.digest, len(blob)),
                     sha256(SMALL), 1, staged=False)  # fmt: skip

    assert keep_layers([unread], intake) == [record]


@pytest.mark.parametrize("intake_of_all", [True, False])
def test_a_promise_that_is_not_enough_is_read_where_it_is(intake_of_all: bool) -> None:  # noqa: FBT001 - a parameter
    intake, blob = DigestIntake(), zipped(SMALL)
    promise = kept(blob, sha256(SMALL if intake_of_all else LARGE), intake)
    intake.digests_only = not intake_of_all
    told: list[str] = []
    unread = KeepJob(_unreadable, Descriptor(OCI_LAYER, promise.digest, len(blob)),
                     sha256(SMALL), 1, staged=False)  # fmt: skip

    (record,) = keep_layers([unread], intake, told=lambda _, word: told.append(word))

    assert (record.state, record.diff_id) == (SETTLED, sha256(SMALL))
    assert told == [KNOWN]  # it was not fetched


def _unreadable() -> IO[bytes]:
    raise AssertionError("it is here already")
