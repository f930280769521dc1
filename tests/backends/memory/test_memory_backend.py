"""What is special about a store in memory: nothing is on a disk, and little can go wrong."""

from __future__ import annotations

import copy
import io
import pickle
import time
from collections.abc import Callable

import pytest

from casstore.backends.memory.backend import MemoryBackend, MemoryLock, MemoryUses
from casstore.backends.memory.blobs import MemoryIngest
from casstore.backends.memory.edits import MemoryEdits
from casstore.clock import AHEAD
from casstore.errors import Damaged, Locked, NotAStore, UsageError
from casstore.model.descriptor import LAYER, OTHER
from casstore.model.digest import sha256
from casstore.model.findings import CheckResult
from casstore.model.record import ImageRecord
from casstore.model.removal import RemovalPlan
from casstore.rules.removal import plan_removal
from casstore.store import Store
from tests.contract.opening import NOW, changing
from tests.contract.records import image, index_over, name_of
from tests.transfer.building import docker_archive, layer

A, B = image("a", "base"), image("b", "base")
DATA = sha256(b"data")


@pytest.fixture
def backend() -> MemoryBackend:
    backend = MemoryBackend()
    backend.create()
    return backend


def put(backend: MemoryBackend, *records: ImageRecord) -> None:
    with changing(backend) as edits:
        for record in records:
            edits.admit(record)
            for blob in record.blobs:
                backend.blobs.put(blob.digest, bytes(blob.size))
        edits.commit()


# A store


def test_a_new_store_is_none_before_something_is_put_into_it() -> None:
    backend = MemoryBackend()

    assert not backend.exists()
    looks: list[Callable[[], object]] = [
        backend.require, lambda: backend.view(NOW), lambda: backend.rehearse(NOW, {}),
    ]  # fmt: skip
    for look in looks:
        with pytest.raises(NotAStore):
            look()


def test_a_new_store_has_changed_nothing_yet(backend: MemoryBackend) -> None:
    assert backend.view(NOW).meta("generation") == 0
    assert backend.published.generation() == 0


def test_a_twin_has_the_same_content_and_goes_its_own_way(backend: MemoryBackend) -> None:
    put(backend, A)
    backend.uses.note([A.id], 5)
    twin = backend.twin()

    assert twin.view(NOW).has_image(A.id)
    assert twin.blobs.size(A.top.digest) == A.top.size
    assert twin.blobs.written(A.top.digest) == backend.blobs.written(A.top.digest) is not None
    assert twin.uses.read(9) == {A.id: 5}
    put(twin, B)
    twin.blobs.discard([A.top.digest])
    twin.uses.note([A.id], 7)
    assert not backend.view(NOW).has_image(B.id)
    assert backend.blobs.size(A.top.digest) == A.top.size
    assert backend.uses.read(9) == {A.id: 5}


def test_a_twin_of_nothing_is_nothing() -> None:
    assert not MemoryBackend().twin().exists()


def test_it_cannot_be_pickled_copied_or_cloned(backend: MemoryBackend) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(backend)
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(backend)
    with changing(backend) as edits, pytest.raises(UsageError, match="cloned: save its images"):
        backend.template(edits)


def test_there_is_always_room_and_a_right_to_write(backend: MemoryBackend) -> None:
    space = backend.space()

    assert space.free == space.total > 1 << 39
    assert backend.is_writable()
    assert (backend.lacking_bytes(), backend.arriving_bytes()) == (0, 0)
    assert not backend.reserve.is_wanted()
    assert not backend.reserve.give_up()


def test_nothing_is_left_behind_or_put_aside(backend: MemoryBackend) -> None:
    left = backend.unfinished()

    assert left.would_go() == left.gone() == (0, 0, 0)
    assert backend.remove_leftovers() == (0, 0)
    assert backend.old_copies(NOW) == backend.remove_copies([]) == []
    assert backend.prepare(create=False) == backend.cautions() == []


def test_no_other_tool_has_written_what_is_published(backend: MemoryBackend) -> None:
    assert not backend.published.is_foreign()
    assert not backend.published.is_withdrawn()
    assert backend.published.splice([], [], 1)


# The lock


def test_one_change_excludes_another_for_as_long_as_is_waited(backend: MemoryBackend) -> None:
    first, second = backend.lock(5, ""), backend.lock(-1, "")
    first.acquire()
    began = time.monotonic()
    with pytest.raises(Locked, match="still locked after -1 seconds"):
        second.acquire()

    assert time.monotonic() - began < 0.9
    first.release()
    second.acquire()
    second.release()


def test_a_lock_that_was_not_taken_takes_none_away(backend: MemoryBackend) -> None:
    first, second = backend.lock(5, ""), backend.lock(0, "")
    first.acquire()
    second.release()

    assert isinstance(second, MemoryLock)
    with pytest.raises(Locked):
        second.acquire()
    first.release()
    first.release()


# Uses


def test_of_several_uses_the_latest_counts_that_is_not_in_the_future() -> None:
    uses = MemoryUses()
    for at in (7, 5, 9, 9 + 2 * AHEAD):
        uses.note([A.id], at)
    uses.note([B.id], 0)

    assert uses.read(9) == {A.id: 9, B.id: 0}


def test_uses_since_a_mark_are_those_noted_after_it() -> None:
    uses = MemoryUses()
    uses.note([A.id], 5)
    mark = uses.mark()
    uses.note([B.id], 6)

    assert mark == (0, 1)
    assert uses.read(9, mark) == {B.id: 6}


def test_only_the_uses_of_images_that_are_there_are_kept() -> None:
    uses = MemoryUses()
    uses.note([A.id, B.id], 5)
    uses.compact([A.id], 9)

    assert uses.read(9) == {A.id: 5}


# A transaction


def test_a_change_that_begins_again_sees_what_was_committed_meanwhile(
    backend: MemoryBackend,
) -> None:
    one, other = backend.edits(NOW, {}), backend.edits(NOW, {})
    one.begin()
    one.commit()
    other.begin()
    other.admit(A)
    other.commit()
    one.begin()
    assert one.has_image(A.id)

    one.admit(B)
    one.rollback()
    assert not one.has_image(B.id)


def test_what_is_rolled_back_loses_no_name_later(backend: MemoryBackend) -> None:
    gzip = image("a", "base", form="gzip")
    edits = backend.edits(NOW, {})
    edits.begin()
    edits.admit(A)
    edits.attach(name_of("one:1"), A.id, A.top.digest, tagged=0)
    edits.admit(gzip)  # without a name
    edits.commit()
    edits.begin()
    for manifest in (gzip.top.digest, A.top.digest):
        edits.attach(name_of("two:1"), A.id, manifest, tagged=0)
    edits.rollback()
    edits.begin()
    edits.commit()

    assert len(edits.tops_of(A.id)) == 2


def test_what_is_named_beside_what_holds_it_is_let_go_of_once(backend: MemoryBackend) -> None:
    whole = index_over("i", A)
    put(backend, whole)
    with changing(backend) as edits:
        edits.apply(RemovalPlan((), (), (whole.id,), (), (), 0, ()))
        stored = edits.stored_bytes()

        assert edits.free_unneeded([A.top.digest, whole.top.digest]) == stored
        assert edits.stored_bytes() == 0


# Staging


def ingest_of(backend: MemoryBackend) -> MemoryIngest:
    return backend.begin_ingest(lambda: backend.view(NOW))


def test_a_draft_can_be_read_again_thrown_away_and_written_anew(backend: MemoryBackend) -> None:
    draft = ingest_of(backend).draft()

    assert draft.offset == 0
    assert draft.write(b"data") == 4
    assert draft.reread().read() == b"data"
    for end in (draft.discard, draft.leave):
        end()
        assert draft.reread().read() == b""
        draft.write(b"more")


def test_an_empty_blob_is_one_like_another(backend: MemoryBackend) -> None:
    ingest = ingest_of(backend)
    empty = ingest.add(b"")

    assert ingest.has(empty) == 0
    assert ingest.open(empty).read() == b""


def test_a_file_can_be_taken_only_where_its_blob_is_there(backend: MemoryBackend) -> None:
    ingest = ingest_of(backend)

    assert not ingest.adopt("a file", DATA, 4)
    assert ingest.not_linked == 0
    ingest.add(b"data")
    assert ingest.adopt("a file", DATA, 4)


def test_what_was_staged_is_gone_when_it_is_closed(backend: MemoryBackend) -> None:
    put(backend, A)
    ingest = ingest_of(backend)
    ingest.add(b"data")
    assert ingest.has(A.top.digest) == A.top.size
    backend.blobs.discard([A.top.digest])
    assert ingest.close() == []

    assert ingest.has(DATA) is None
    assert ingest.has(A.top.digest) is None


def test_a_blob_that_is_damaged_is_not_found(backend: MemoryBackend) -> None:
    put(backend, A)
    backend.blobs.put(A.top.digest, b"cut")

    assert ingest_of(backend).has(A.top.digest) is None


@pytest.mark.parametrize(("known", "there", "put"), [
    (False, None, True), (False, b"data", True), (True, None, True), (True, b"cut", True),
    (True, b"data", False),
])  # fmt: skip
def test_bytes_are_put_where_they_are_new_lost_or_damaged(
    backend: MemoryBackend,
    monkeypatch: pytest.MonkeyPatch,
    *,
    known: bool,
    there: bytes | None,
    put: bool,
) -> None:
    ingest = ingest_of(backend)
    ingest.add(b"data")
    if there is not None:
        backend.blobs.put(DATA, there)
    written: list[bytes] = []
    monkeypatch.setattr(backend.blobs, "put", lambda _, data: written.append(data))
    ingest.publish(lambda _: {DATA} if known else set())

    assert written == ([b"data"] if put else [])
    assert ingest.named == ([] if known else [DATA])


# Blobs


def test_a_blob_says_since_when_it_is_there(backend: MemoryBackend) -> None:
    before = time.time_ns()
    backend.blobs.put(DATA, b"data")

    assert before <= (backend.blobs.written(DATA) or 0) <= time.time_ns()
    backend.blobs.discard([DATA])
    assert backend.blobs.written(DATA) is None


def test_a_document_as_long_as_the_limit_is_read(backend: MemoryBackend) -> None:
    backend.blobs.put(DATA, b"data")

    assert backend.blobs.read(DATA, 4) == b"data"
    with pytest.raises(Damaged, match="has more than 3 bytes"):
        backend.blobs.read(DATA, 3)


def test_a_blob_looks_like_a_file_that_nobody_writes(backend: MemoryBackend) -> None:
    backend.blobs.put(DATA, b"data")
    (file,) = backend.blobs.walk()

    assert (file.name, file.digest, file.size) == (DATA.hex, DATA, 4)
    assert oct(file.mode) == oct(0o100444)


# Checks


@pytest.fixture
def store() -> Store:
    store = Store.in_memory()
    store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
    return store


def codes(result: CheckResult) -> list[str]:
    return sorted(one.code for one in result.findings)


def memory(store: Store) -> MemoryBackend:
    backend = store.session.backend
    assert isinstance(backend, MemoryBackend)
    return backend


def test_a_sound_store_is_clean_and_every_byte_was_read(store: Store) -> None:
    store.remove(["a:1"], keep=1000)
    result = store.check()

    assert result.clean
    assert (result.blobs, result.bytes) == (3, store.session.view().stored_bytes())


def test_a_blob_that_is_lost_is_found_and_the_others_are_read(store: Store) -> None:
    blobs = sorted(state.digest for state in store.session.view().all_blobs())
    memory(store).blobs.discard(blobs[:1])
    result = store.check()

    assert [(one.code, one.object) for one in result.findings] == [("blob-missing", blobs[0])]
    assert result.blobs == 2


@pytest.mark.parametrize("same_length", [True, False])
@pytest.mark.parametrize("content", [True, False])
def test_other_bytes_are_found_by_their_length_and_by_reading_them(
    store: Store, *, same_length: bool, content: bool
) -> None:
    (blob, *_) = (state for state in store.session.view().all_blobs())
    memory(store).blobs.put(blob.digest, bytes(blob.size if same_length else blob.size - 1))
    result = memory(store).checks.check((), content=content)

    assert codes(result) == ([] if same_length and not content else ["blob-corrupt"])


def test_a_count_that_is_wrong_is_found(store: Store) -> None:
    with store.session.change() as change:
        blob = next(change.index.all_blobs()).digest
        assert isinstance(change.index, MemoryEdits)
        change.index.edited().holders[blob] += 1
        change.commit()

    assert codes(store.check()) == ["refcount-wrong"]


def test_nothing_can_be_repaired_or_rebuilt_but_by_loading(store: Store) -> None:
    checks, session = memory(store).checks, store.session

    with session.change() as change:
        assert checks.repair(change, content=True) == ([], False)
    assert checks.give_rights_back() == checks.kept_aside() == []
    assert checks.recount(session.view, session.change) == []
    assert not checks.is_damaged()
    with pytest.raises(UsageError, match="load its images again"):
        checks.mend_from(session.change, [], content=True)
    with pytest.raises(UsageError, match="nothing to be rebuilt from"):
        checks.rebuild(session.change, session.locked)


# Look-ups that pin


def test_what_is_read_is_what_its_digest_says(backend: MemoryBackend) -> None:
    put(backend, A)  # with other bytes than the digest says

    with pytest.raises(Damaged, match=r"is corrupt: its content has another digest$"):
        ingest_of(backend).read(A.top.digest)
    ingest = ingest_of(backend)
    assert ingest.read(ingest.add(b"data")) == b"data"


@pytest.mark.parametrize("find", ["layer", "layer_with_diff_id"])
def test_a_layer_whose_bytes_are_lost_is_not_found(backend: MemoryBackend, find: str) -> None:
    put(backend, A)
    (layer,) = A.layers
    wanted = layer.digest if find == "layer" else layer.diff_id
    assert getattr(ingest_of(backend), find)(wanted) == layer
    backend.blobs.discard([layer.digest])

    assert getattr(ingest_of(backend), find)(wanted) is None


def test_a_layer_that_was_found_stays_though_it_is_removed(backend: MemoryBackend) -> None:
    put(backend, A)
    (layer,) = A.layers
    ingest = ingest_of(backend)
    ingest.layer(layer.digest)
    with changing(backend) as edits:
        edits.apply(plan_removal(edits, A.id.hex))
        edits.commit()

    assert ingest.layer(layer.digest) == layer


def test_a_layer_that_was_just_sealed_is_found(backend: MemoryBackend) -> None:
    (layer,) = A.layers
    ingest = ingest_of(backend)
    assert ingest.layers() == []
    ingest.add_layer(layer)

    assert ingest.layers() == [layer]
    assert ingest.layer(layer.digest) == ingest.layer_with_diff_id(layer.diff_id) == layer


def test_what_is_no_layer_is_none(backend: MemoryBackend) -> None:
    put(backend, A)

    assert ingest_of(backend).layer(A.id) is None
    assert ingest_of(backend).layer_with_diff_id(A.id) is None


def test_a_manifest_is_found_with_all_below_it_and_all_of_it_is_held(
    backend: MemoryBackend,
) -> None:
    whole = index_over("i", A, B)
    put(backend, whole)
    ingest = ingest_of(backend)
    assert ingest.manifest_of(whole.id) == whole.top
    blobs = [blob.digest for blob in whole.blobs]
    backend.blobs.discard(blobs)

    assert [ingest.has(blob) is not None for blob in blobs] == [True] * len(blobs)


@pytest.mark.parametrize("lost", range(4))
def test_a_manifest_is_not_found_where_anything_of_it_is_lost(
    backend: MemoryBackend, lost: int
) -> None:
    whole = index_over("i", A)
    put(backend, whole)
    backend.blobs.discard([whole.blobs[lost].digest])

    assert ingest_of(backend).manifest_of(whole.id) is None


def test_of_several_manifests_one_is_found_that_is_whole(backend: MemoryBackend) -> None:
    gzip = image("a", "base", form="gzip")
    put(backend, A, gzip)
    backend.blobs.discard([A.layers[0].digest])

    assert ingest_of(backend).manifest_of(A.id) == gzip.top


def test_a_manifest_over_what_cannot_be_read_is_passed_over(backend: MemoryBackend) -> None:
    encrypted = A._replace(
        blobs=tuple(one._replace(kind=OTHER) if one.kind == LAYER else one for one in A.blobs),
        layers=(),
    )
    gzip = image("a", "base", form="gzip")
    put(backend, encrypted)
    assert ingest_of(backend).manifest_of(A.id) is None
    put(backend, gzip)

    assert ingest_of(backend).manifest_of(A.id) == gzip.top


def test_a_manifest_of_nothing_is_no_image_that_could_be_used(backend: MemoryBackend) -> None:
    put(backend, A._replace(blobs=(A.blobs[0]._replace(children=()),), layers=()))

    assert ingest_of(backend).manifest_of(A.id) is None
