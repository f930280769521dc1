"""Many removals in one change do what they do one by one, whatever waits meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.backends.local import removals, schema
from casstore.backends.local.edits import LocalEdits
from casstore.backends.local.tables import TABLES
from casstore.errors import CasstoreError, Damaged
from casstore.model.record import ImageRecord
from casstore.model.removal import RemovalPlan
from casstore.model.state import LeaseOn
from casstore.rules.removal import plan_removal
from tests.backends.local.test_bulk import content
from tests.contract.records import digest_of, image, index_over, name_of

A, B, C = image("a", "base top"), image("b", "base other"), image("c", "more")
SIGNATURE = image("signature", "claim", subject=A.top.digest)
BOTH = index_over("both", B, C)
RECORDS = [A, B, C, SIGNATURE, BOTH]
NAMES = {A.id: ["a:1", "a:2"], B.id: ["b:1"], C.id: [], SIGNATURE.id: [], BOTH.id: ["both:1"]}
ARGUMENTS = ["a:1", "a:2", "b:1", "both:1", *(record.id.hex for record in RECORDS)]
# What a store may have beside names: each is a question that is not asked where there is none.
MORE = st.fixed_dictionaries(
    {what: st.booleans() for what in ("lease", "pin", "parent", "signature", "hard")}
)


@contextmanager
def filled(*, hard: Sequence[ImageRecord] = (), **more: bool) -> Iterator[LocalEdits]:
    """A change of a store of some images."""
    held = {record.id: ["hard"] for record in hard}
    index = LocalEdits(schema.memory(), now=100, hard=held)
    with closing(index.connection):
        index.begin()
        for record in RECORDS:
            if record is SIGNATURE and not more.get("signature"):
                continue
            index.admit(record)
            for name in NAMES[record.id]:
                index.attach(name_of(name), record.id, record.top.digest, tagged=0)
        if more.get("lease"):
            index.set_lease("lease", B.id, None)
        if more.get("pin"):
            index.set_pin(B.id, pinned=True)
        if more.get("parent"):
            index.link_parent(A.id, C.id)
        index.commit()
        index.begin()
        yield index


def remove(index: LocalEdits, arguments: Sequence[str], *, force: bool) -> list[object]:
    """What becomes of each."""
    told: list[object] = []
    for argument in arguments:
        try:
            plan = plan_removal(index, argument, force=force)
        except CasstoreError as error:
            told.append(str(error))
        else:
            index.apply(plan)
            told.append(plan)
    return told


def doomed(index: LocalEdits) -> list[str]:
    return [digest.hex for digest in index.doomed()]


@pytest.mark.parametrize("at_once", [0, 3, removals._AT_ONCE])
@settings(deadline=None)
@given(arguments=st.lists(st.sampled_from(ARGUMENTS)), force=st.booleans(), more=MORE)
def test_what_is_removed_in_a_row_is_what_is_removed_one_by_one(
    at_once: int, arguments: list[str], more: dict[str, bool], *, force: bool
) -> None:
    hard = [C] if more.pop("hard") else []
    outcomes: list[Any] = []
    for many in (False, True):
        with filled(hard=hard, **more) as index, pytest.MonkeyPatch.context() as patch:
            patch.setattr(removals, "_AT_ONCE", at_once)
            if many:
                index.expect_many()
            told = remove(index, arguments, force=force)
            has_doomed, gone = index.has_doomed(), doomed(index)
            assert has_doomed is (len(gone) > 0)
            index.commit()
            outcomes.append((told, gone, content(index.connection)))

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "look",
    [
        lambda index: index.blob_state(A.top.digest),
        lambda index: index.blob_size(A.top.digest),
        lambda index: index.blobs_with_prefix(A.top.digest.hex[:12]) or None,
    ],
    ids=["state", "size", "prefix"],
)
def test_what_waits_to_go_is_not_seen_any_more(look: Any) -> None:
    with filled() as index:
        assert look(index) is not None
        index.expect_many()
        remove(index, ["a:1", "a:2"], force=False)

        assert look(index) is None


def test_the_rows_of_a_few_images_wait_for_the_commit() -> None:
    with filled() as index:
        index.expect_many()
        remove(index, ["a:1", "a:2"], force=False)

        count = "SELECT count(*) FROM blob WHERE refcount = 0"
        assert index.connection.execute(count).fetchone() == (3,)
        index.commit()
        assert index.connection.execute(count).fetchone() == (0,)


def test_those_of_more_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removals, "_AT_ONCE", 3)
    with filled() as index:
        index.expect_many()
        remove(index, ["a:1", "a:2"], force=False)  # three blobs and an image

        count = "SELECT count(*) FROM blob WHERE refcount = 0"
        assert index.connection.execute(count).fetchone() == (0,)


def test_many_get_more_memory_until_the_commit() -> None:
    def pages(index: LocalEdits) -> int:
        return int(index.connection.execute("PRAGMA cache_size").fetchone()[0])

    with filled() as index:
        before = pages(index)
        index.expect_many()
        assert pages(index) < 8 * before < 0
        index.commit()
        assert pages(index) == before == -removals._FEW_PAGES


def test_a_removal_alone_changes_no_memory() -> None:
    with filled() as index:
        statements: list[str] = []
        index.connection.set_trace_callback(statements.append)
        remove(index, ["a:1"], force=False)
        index.commit()

    assert not [one for one in statements if "PRAGMA" in one]


def test_where_there_are_no_leases_pins_and_parents_nobody_asks_for_them() -> None:
    with filled() as index:
        index.expect_many()
        statements: list[str] = []
        index.connection.set_trace_callback(statements.append)
        remove(index, ["a:1", "a:2", "b:1"], force=False)
        index.commit()

    asked = " ".join(statements)
    for about in ("FROM lease", "FROM pin", "FROM subject", "JOIN subject", "SET parent"):
        assert about not in asked


@pytest.mark.parametrize("many", [False, True])
def test_a_lease_is_known_in_a_row_too(*, many: bool) -> None:
    with filled(hard=[B], lease=True) as index:
        if many:
            index.expect_many()

        assert index.leases_on(B.id) == [
            LeaseOn("hard", hard=True), LeaseOn("lease", hard=False)
        ]  # fmt: skip
        assert index.leases_on(A.id) in ([], ())


@pytest.mark.parametrize("many", [False, True])
def test_soft_leases_pins_and_parents_are_known_in_a_row_too(*, many: bool) -> None:
    with filled(lease=True, pin=True, parent=True) as index:
        if many:
            index.expect_many()

        assert index.leases_on(B.id) == [LeaseOn("lease", hard=False)]
        assert (index.is_pinned(B.id), index.is_pinned(A.id)) == (True, False)
        assert (index.parent_of(A.id), list(index.children_of(C.id))) == (C.id, [A.id])


def test_hard_leases_are_known_where_there_are_no_others() -> None:
    with filled(hard=[B]) as index:
        index.expect_many()

        assert index.leases_on(B.id) == [LeaseOn("hard", hard=True)]


def test_names_are_as_they_are_after_each_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removals, "_FEW_NAMES", 1)
    with filled() as index:
        assert list(index.naming_of(A.id)) == [name_of("a:1"), name_of("a:2")]
        remove(index, ["a:1"], force=False)
        assert list(index.naming_of(A.id)) == [name_of("a:2")]
        index.attach(name_of("a:3"), A.id, A.top.digest, tagged=0)
        assert list(index.naming_of(A.id)) == [name_of("a:2"), name_of("a:3")]
        index.attach(name_of("a:3"), B.id, B.top.digest, tagged=0)
        assert list(index.naming_of(A.id)) == [name_of("a:2")]


@pytest.mark.parametrize(("kept", "looks"), [(100, 1), (1, 3)])
def test_so_many_names_are_kept_in_mind(
    monkeypatch: pytest.MonkeyPatch, kept: int, looks: int
) -> None:
    monkeypatch.setattr(removals, "_FEW_NAMES", 1)
    monkeypatch.setattr(removals, "_NAMES_KEPT", kept)
    with filled() as index:
        index.attach(name_of("b:2"), B.id, B.top.digest, tagged=0)
        statements: list[str] = []
        index.connection.set_trace_callback(statements.append)
        for image_ in (A.id, B.id, A.id, B.id, A.id):
            assert len(index.naming_of(image_)) == 2

    assert len(statements) == 1 + looks if kept == 100 else len(statements) > 2


def test_an_images_few_names_are_asked_for_each_time() -> None:
    with filled() as index:
        statements: list[str] = []
        index.connection.set_trace_callback(statements.append)
        for _ in range(3):
            index.naming_of(A.id)

    assert len(statements) == 3


def test_the_way_another_tool_wrote_a_name_goes_with_it() -> None:
    with filled() as index:
        index.write_as(name_of("a:1"), "docker.io/library/a:1")
        remove(index, ["a:1"], force=False)
        index.attach(name_of("a:1"), A.id, A.top.digest, tagged=0)

        assert [row.written for row in index.published(A.id)] == [None, None]


def test_blobs_that_nothing_holds_are_let_go_with_all_below_them() -> None:
    with filled() as index:
        index.connection.execute("DELETE FROM holding")
        size = index.free_unneeded([A.top.digest, B.top.digest, digest_of("never came")])

        gone = [blob for blob in A.blobs if blob not in B.blobs]  # b's are below the index
        assert doomed(index) == sorted(blob.digest.hex for blob in gone)
        assert size == sum(blob.size for blob in gone)


def test_a_blob_that_something_needs_cannot_go() -> None:
    base = digest_of(" base")
    with filled() as index:
        plan = RemovalPlan((), (), (), (base,), (), 0, ())

        with pytest.raises(Damaged, match=f"blob {base} is still needed"):
            index.apply(plan)


def test_the_blob_that_is_needed_is_told_of_many() -> None:
    base = digest_of(" base")
    free = [blob.digest for blob in SIGNATURE.blobs]
    with filled(signature=True) as index:
        plan = RemovalPlan((), (), (SIGNATURE.id,), (*free, base), (), 0, ())

        with pytest.raises(Damaged, match=f"blob {base} is still needed"):
            index.apply(plan)


def test_a_blob_that_is_not_there_is_told_where_none_is_needed() -> None:
    gone = digest_of("never came")
    with filled() as index, pytest.raises(Damaged, match=f"blob {gone} is still needed"):
        index.apply(RemovalPlan((), (), (), (gone,), (), 0, ()))


@pytest.mark.parametrize("many", [False, True])
def test_no_row_is_left_of_images_that_go(*, many: bool) -> None:
    order = (BOTH, A, SIGNATURE)  # a document before what it needs
    free = dict.fromkeys(blob.digest for record in order for blob in record.blobs)
    plan = RemovalPlan(
        tuple(name_of(name) for names in NAMES.values() for name in names),
        (), tuple(record.id for record in (A, B, C, SIGNATURE, BOTH)), tuple(free), (), 0, (),
    )  # fmt: skip
    with filled(lease=True, pin=True, parent=True, signature=True) as index:
        if many:
            index.expect_many()
        index.apply(plan)
        index.commit()

        left = {table: rows(index, table) for table in TABLES.keys() - {"meta", "doomed", "event"}}
        assert {table: found for table, found in left.items() if found} == {}
        assert len(rows(index, "doomed")) == len(free)


def test_a_child_that_stays_has_no_parent_any_more_when_that_goes() -> None:
    with filled(parent=True) as index:
        index.apply(RemovalPlan((), (), (C.id,), (), (), 0, ()))
        index.admit(image("new", "base"))  # which may have the number of what went

        assert index.parent_of(A.id) is None
        assert (
            index.connection.execute("SELECT 1 FROM image WHERE parent NOT NULL").fetchall() == []
        )


def rows(index: LocalEdits, table: str) -> list[object]:
    found: list[object] = index.connection.execute(
        f"SELECT * FROM {table}"  # noqa: S608 - a table of ours
    ).fetchall()
    return found


@pytest.mark.parametrize("busy", [False, True])
def test_the_log_is_brought_back_without_waiting_for_readers(tmp_path: Any, *, busy: bool) -> None:
    path = str(tmp_path / "casstore.db")
    schema.create(path)
    index = LocalEdits(schema.connect(path, writable=True), now=0, hard={})
    reader = schema.connect(path, writable=True)
    with closing(index.connection), closing(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM image").fetchall()
        if not busy:
            reader.execute("ROLLBACK")
        index.begin()
        index.admit(A)
        index.commit()
        index.compact()

        log = tmp_path / "casstore.db-wal"
        assert (log.stat().st_size == 0) is not busy
        (timeout,) = index.connection.execute("PRAGMA busy_timeout").fetchone()
        assert timeout == schema.BUSY_SECONDS * 1000
