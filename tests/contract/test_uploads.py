"""Uploads: piece by piece, by whichever process; then blobs that no manifest names yet."""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from casstore.backends.resting import REST_SECONDS, UPLOAD_ID_LENGTH
from casstore.errors import Locked, NotFound, Refused, Unsupported, WrongOffset
from casstore.model.digest import Digest, sha256
from tests.contract.opening import NOW, changing
from tests.contract.test_ingest import (
    DOCUMENT,
    TAR,
    an_image,
    commit,
    remove,
    stage_image,
    with_an_image,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.ports.backend import Backend
    from casstore.ports.ingest import Ingest
    from casstore.ports.uploads import Uploads

CONTENT = b"what is uploaded"
DIGEST = sha256(CONTENT)
UNKNOWN = "0" * UPLOAD_ID_LENGTH
_DAY = int(REST_SECONDS * 1e9)


class Breaking:
    """A source that gives its pieces and then fails, or calls what it is given."""

    def __init__(self, *pieces: bytes, then: Callable[[], object] | None = None) -> None:
        self._pieces = list(pieces)
        self._then = then

    def read(self, size: int = -1, /) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._then is not None:
            self._then()
            return b""
        raise Unsupported("the source broke off")


@pytest.fixture
def uploads(backend: Backend) -> Uploads:
    with changing(backend) as edits:
        edits.commit()
    return backend.uploads()


def uploaded(uploads: Uploads, content: bytes = CONTENT) -> Digest:
    upload = uploads.begin()
    uploads.append(upload, BytesIO(content))
    uploads.finish(upload, sha256(content))
    return sha256(content)


def looking_for_uploads(backend: Backend) -> Ingest:
    return backend.begin_ingest(lambda: backend.view(NOW), with_uploads=True)


def at(monkeypatch: pytest.MonkeyPatch, nanoseconds: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds)


# Uploads


def test_an_upload_begins_empty_under_an_id_that_nobody_guesses(uploads: Uploads) -> None:
    first, second = uploads.begin(), uploads.begin()

    assert uploads.size(first) == 0
    assert first != second
    assert len(first) == len(second) == UPLOAD_ID_LENGTH


def test_pieces_are_put_together_in_their_order(uploads: Uploads) -> None:
    upload = uploads.begin()

    assert uploads.append(upload, BytesIO(CONTENT[:5])) == 5
    assert uploads.append(upload, BytesIO(CONTENT[5:]), offset=5) == len(CONTENT)

    assert uploads.finish(upload, DIGEST) == len(CONTENT)
    with uploads.open(DIGEST) as file:
        assert file.read() == CONTENT


def test_another_opening_of_the_store_goes_on_with_it(backend: Backend, uploads: Uploads) -> None:
    upload = uploads.begin()
    uploads.append(upload, BytesIO(CONTENT[:5]))

    another = backend.another().uploads()

    assert another.size(upload) == 5
    another.append(upload, BytesIO(CONTENT[5:]))
    another.finish(upload, DIGEST)
    assert uploads.find(DIGEST) == len(CONTENT)


@pytest.mark.parametrize("offset", [0, 4, 6])
def test_a_piece_that_does_not_follow_is_refused(uploads: Uploads, offset: int) -> None:
    upload = uploads.begin()
    uploads.append(upload, BytesIO(CONTENT[:5]))

    with pytest.raises(WrongOffset) as refusal:
        uploads.append(upload, BytesIO(b"more"), offset=offset)

    assert refusal.value.size == 5
    assert uploads.size(upload) == 5


def test_what_came_before_the_source_broke_off_stays(uploads: Uploads) -> None:
    upload = uploads.begin()

    with pytest.raises(Unsupported):
        uploads.append(upload, Breaking(CONTENT[:5], CONTENT[5:7]))

    assert uploads.size(upload) == 7
    uploads.append(upload, BytesIO(CONTENT[7:]), offset=7)
    assert uploads.finish(upload, DIGEST) == len(CONTENT)


def test_one_at_a_time_adds_to_an_upload_or_finishes_it(uploads: Uploads) -> None:
    upload = uploads.begin()
    met = []

    def try_at_the_same_time() -> None:
        with pytest.raises(Locked):
            uploads.append(upload, BytesIO(b"x"))
        with pytest.raises(Locked):
            uploads.finish(upload, DIGEST)
        met.append(upload)

    uploads.append(upload, Breaking(CONTENT, then=try_at_the_same_time))

    assert met == [upload]
    assert uploads.finish(upload, DIGEST) == len(CONTENT)


def test_a_content_of_another_digest_is_refused_and_gone(uploads: Uploads) -> None:
    upload = uploads.begin()
    uploads.append(upload, BytesIO(CONTENT + b"!"))

    with pytest.raises(Refused, match=sha256(CONTENT + b"!")):
        uploads.finish(upload, DIGEST)

    assert uploads.find(DIGEST) is None
    with pytest.raises(NotFound):
        uploads.size(upload)


def test_an_empty_blob_can_be_uploaded(uploads: Uploads) -> None:
    upload = uploads.begin()

    assert uploads.finish(upload, sha256(b"")) == 0
    assert uploads.find(sha256(b"")) == 0


@pytest.mark.parametrize(
    "end",
    [
        lambda uploads, upload: uploads.cancel(upload),
        lambda uploads, upload: uploads.finish(upload, sha256(b"")),
    ],
    ids=["cancelled", "finished"],
)
def test_an_upload_that_has_ended_is_not_known_any_more(
    uploads: Uploads, end: Callable[[Uploads, str], None]
) -> None:
    upload = uploads.begin()

    end(uploads, upload)

    for act in _uses(uploads, upload):
        with pytest.raises(NotFound):
            act()


@pytest.mark.parametrize("upload", [UNKNOWN, "", "0", "../blobs", "x" * UPLOAD_ID_LENGTH, "0" * 64])
def test_what_was_never_begun_is_not_known(uploads: Uploads, upload: str) -> None:
    for act in _uses(uploads, upload):
        with pytest.raises(NotFound):
            act()


def _uses(uploads: Uploads, upload: str) -> list[Callable[[], object]]:
    return [
        lambda: uploads.size(upload),
        lambda: uploads.append(upload, BytesIO(b"x")),
        lambda: uploads.finish(upload, DIGEST),
        lambda: uploads.cancel(upload),
    ]


def test_two_uploads_of_one_blob_are_harmless(uploads: Uploads) -> None:
    first, second = uploads.begin(), uploads.begin()
    uploads.append(first, BytesIO(CONTENT))
    uploads.append(second, BytesIO(CONTENT))

    uploads.finish(first, DIGEST)
    uploads.finish(second, DIGEST)

    assert uploads.find(DIGEST) == len(CONTENT)


# Blobs that no manifest names yet


def test_a_finished_blob_is_found_and_is_in_no_store_yet(
    backend: Backend, uploads: Uploads
) -> None:
    digest = uploaded(uploads)

    assert backend.another().uploads().find(digest) == len(CONTENT)
    assert backend.blobs.size(digest) is None


def test_what_was_not_uploaded_is_not_found(uploads: Uploads) -> None:
    assert uploads.find(DIGEST) is None
    with pytest.raises(NotFound):
        uploads.open(DIGEST)


def test_only_an_ingest_that_looks_for_uploads_finds_one(
    backend: Backend, uploads: Uploads
) -> None:
    digest = uploaded(uploads)
    other, looking = backend.begin_ingest(lambda: backend.view(NOW)), looking_for_uploads(backend)

    assert other.has(digest) is None
    assert looking.has(digest) == len(CONTENT)
    assert looking.read(digest) == CONTENT


def test_an_image_is_committed_of_what_was_uploaded(backend: Backend, uploads: Uploads) -> None:
    uploaded(uploads, TAR)
    ingest = looking_for_uploads(backend)
    image = an_image(ingest.add(DOCUMENT), sha256(TAR))
    assert ingest.has(sha256(TAR)) == len(TAR)

    commit(backend, ingest, image, "one:1")
    ingest.close(drop_uploads=True)

    assert uploads.find(sha256(TAR)) is None
    with backend.blobs.open(sha256(TAR)) as file:
        assert file.read() == TAR


def test_an_ingest_that_fails_leaves_the_upload(backend: Backend, uploads: Uploads) -> None:
    digest = uploaded(uploads)
    ingest = looking_for_uploads(backend)
    ingest.has(digest)

    ingest.close()

    assert uploads.find(digest) == len(CONTENT)


def test_two_ingests_take_up_one_upload(backend: Backend, uploads: Uploads) -> None:
    uploaded(uploads, TAR)
    first, second = looking_for_uploads(backend), looking_for_uploads(backend)
    image = an_image(first.add(DOCUMENT), sha256(TAR))
    for ingest in (first, second):
        ingest.add(DOCUMENT)
        assert ingest.has(sha256(TAR)) == len(TAR)

    commit(backend, first, image, "one:1")
    assert first.close(drop_uploads=True) == []
    commit(backend, second, image, "two:1")
    assert second.close(drop_uploads=True) == []

    with backend.blobs.open(sha256(TAR)) as file:
        assert file.read() == TAR


def test_what_the_store_has_is_not_taken_from_an_upload(backend: Backend, uploads: Uploads) -> None:
    with_an_image(backend)
    uploaded(uploads, TAR)
    ingest = looking_for_uploads(backend)

    assert ingest.has(sha256(TAR)) == len(TAR)

    assert ingest.layer(sha256(TAR)) is not None


def test_an_upload_outlives_the_image_that_had_the_same_blob(
    backend: Backend, uploads: Uploads
) -> None:
    image = with_an_image(backend)
    uploaded(uploads, TAR)
    remove(backend, "one:1")
    ingest = looking_for_uploads(backend)

    assert stage_image(ingest) == image
    commit(backend, ingest, image, "two:1")

    with backend.blobs.open(sha256(TAR)) as file:
        assert file.read() == TAR


def test_what_was_uploaded_again_since_it_was_taken_up_stays(
    backend: Backend, uploads: Uploads
) -> None:
    digest = uploaded(uploads, TAR)
    ingest = looking_for_uploads(backend)
    image = an_image(ingest.add(DOCUMENT), digest)
    ingest.has(digest)
    commit(backend, ingest, image, "one:1")
    remove(backend, "one:1")
    uploaded(uploads, TAR)

    ingest.close(drop_uploads=True)

    assert uploads.find(digest) == len(TAR)


# Their day


def test_a_change_and_gc_leave_what_has_its_day(backend: Backend, uploads: Uploads) -> None:
    upload = uploads.begin()
    uploads.append(upload, BytesIO(CONTENT[:5]))
    digest = uploaded(uploads)

    backend.clear_leftovers()

    assert backend.remove_leftovers() == (0, 0)
    assert uploads.size(upload) == 5
    assert uploads.find(digest) == len(CONTENT)


def test_after_its_day_an_upload_goes(
    backend: Backend, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploads.begin()
    uploads.append(upload, BytesIO(CONTENT[:5]))
    digest = uploaded(uploads)
    at(monkeypatch, time.time_ns() + _DAY)

    assert uploads.find(digest) is None
    backend.remove_leftovers()

    with pytest.raises(NotFound):
        uploads.size(upload)
    with pytest.raises(NotFound):
        uploads.open(digest)


def test_what_is_not_finished_and_what_no_manifest_names_counts_as_arriving(
    backend: Backend, uploads: Uploads
) -> None:
    uploads.append(uploads.begin(), BytesIO(CONTENT[:5]))
    uploaded(uploads)

    assert backend.arriving_bytes() == 5 + len(CONTENT)
