"""Tables of contents: derived from a layer blob, and gone with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.model.digest import sha256
from tests.contract.records import digest_of
from tests.contract.test_ingest import TAR, with_an_image

if TYPE_CHECKING:
    from casstore.ports.backend import Backend

LAYER = sha256(TAR)


def with_a_table(backend: Backend, table: bytes = b"a table") -> None:
    """A store with an image, whose layer has a table."""
    with_an_image(backend)
    keep(backend, table)


def keep(backend: Backend, table: bytes) -> None:
    draft = backend.contents.draft()
    assert draft is not None
    draft.write(table)
    backend.contents.keep(draft, LAYER)


def table_of(backend: Backend) -> bytes | None:
    file = backend.contents.open(LAYER)
    if file is None:
        return None
    with file:
        return file.read()


def test_a_layer_that_nobody_has_looked_into_has_no_table(backend: Backend) -> None:
    with_an_image(backend)

    assert table_of(backend) is None
    assert list(backend.contents.walk()) == []


def test_what_is_kept_is_there_for_the_next_reader(backend: Backend) -> None:
    with_a_table(backend)

    assert table_of(backend) == b"a table"


def test_a_draft_can_be_read_before_it_is_kept(backend: Backend) -> None:
    with_an_image(backend)
    draft = backend.contents.draft()
    assert draft is not None
    draft.write(b"a table")

    draft.seek(2)
    assert draft.read() == b"table"

    backend.contents.keep(draft, LAYER)
    assert draft.closed
    assert table_of(backend) == b"a table"


def test_a_draft_that_is_only_closed_leaves_nothing(backend: Backend) -> None:
    with_an_image(backend)
    draft = backend.contents.draft()
    assert draft is not None
    draft.write(b"a table")
    draft.close()

    assert table_of(backend) is None
    assert backend.remove_leftovers() == (0, 0)


def test_a_table_that_is_kept_again_takes_the_place_of_the_first(backend: Backend) -> None:
    with_a_table(backend)
    keep(backend, b"another")

    assert table_of(backend) == b"another"


def test_a_table_that_is_open_stays_readable_when_another_takes_its_place(
    backend: Backend,
) -> None:
    with_a_table(backend)
    file = backend.contents.open(LAYER)
    assert file is not None

    keep(backend, b"another")

    with file:
        assert file.read() == b"a table"


def test_of_a_layer_that_is_not_there_no_table_is_kept(backend: Backend) -> None:
    keep(backend, b"a table")

    assert table_of(backend) is None


def test_a_table_can_be_discarded(backend: Backend) -> None:
    with_a_table(backend)

    backend.contents.discard([digest_of("nothing"), LAYER])

    assert table_of(backend) is None


def test_discarding_what_is_not_there_is_no_error(backend: Backend) -> None:
    backend.contents.discard([LAYER])

    assert table_of(backend) is None


def test_a_table_goes_with_its_blob(backend: Backend) -> None:
    with_a_table(backend)

    backend.blobs.discard([LAYER])

    assert table_of(backend) is None


def test_a_table_goes_with_a_blob_that_goes_in_a_turn(backend: Backend) -> None:
    with_a_table(backend)

    assert backend.blobs.discard_some([LAYER], 1.0) == (1, [])

    assert table_of(backend) is None


def test_a_table_stays_when_another_blob_goes(backend: Backend) -> None:
    with_a_table(backend)

    backend.blobs.discard([digest_of("nothing")])

    assert table_of(backend) == b"a table"


def test_a_walk_comes_to_every_table(backend: Backend) -> None:
    with_a_table(backend)

    assert [(file.digest, file.size) for file in backend.contents.walk()] == [(LAYER, 7)]
