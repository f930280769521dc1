"""Errors at a port are CasstoreErrors, whatever the operating system refuses.

Memory refuses nothing, so this is held against the local backend. Every method of every port is
called as often as it makes calls about the store, and another one of these fails each time.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest

from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.care import fsck, ownfiles
from casstore.errors import CasstoreError, StorageError
from casstore.model.digest import Digest, sha256
from casstore.model.keys import GENERATION
from casstore.ports.edits import Edits
from casstore.ports.ingest import Ingest
from casstore.ports.locks import WritersLock
from casstore.ports.uploads import Uploads
from casstore.rules.removal import plan_removal
from casstore.store import Store, store_of
from casstore.store.session import Session
from tests.contract.faults import Faults
from tests.contract.opening import NOW, changing
from tests.contract.records import digest_of, image
from tests.contract.test_change import begin
from tests.contract.test_checks import ARCHIVE
from tests.contract.test_ingest import another_ingest

MOST = 25  # calls of one act that are refused; of more, so many at even distances
NEW = b"the bytes of a new blob"


class Case(NamedTuple):
    """A store to be used: one with an image, and what ends when the case does."""

    backend: LocalBackend
    beside: Path  # an empty directory of the test
    until: ExitStack

    @property
    def root(self) -> Path:
        return Path(self.backend.where)

    @property
    def top(self) -> Digest:
        return next(iter(self.backend.view(NOW).all_tops()))[1].digest

    @property
    def layer(self) -> Digest:
        return next(iter(self.backend.view(NOW).all_layers())).digest

    def locked(self) -> WritersLock:
        lock = self.backend.lock(0.05, "a test")
        lock.acquire()
        self.until.callback(lock.release)
        return lock

    def changing(self) -> Edits:
        return self.until.enter_context(changing(self.backend))

    def ingest(self) -> Ingest:
        ingest = another_ingest(self.backend)
        self.until.callback(ingest.close)
        return ingest

    def damage(self, path: Path, data: bytes) -> None:
        path.unlink()
        path.write_bytes(data)

    def staged_by_the_dead(self) -> None:
        dead = self.root / "ingest" / "load-1-dead"
        dead.mkdir()
        (dead / "draft-1").write_bytes(b"x")
        (dead / f"part-{sha256(NEW).hex}").write_bytes(NEW[:3])
        dead.with_name("load-1-dead.lock").touch()


Act = Callable[[], object]
ACTS: dict[str, Callable[[Case], Act]] = {}


def act(make: Callable[[Case], Act]) -> Callable[[Case], Act]:
    ACTS[make.__name__.replace("_", " ")] = make
    return make


def each(port: str, **acts: Callable[[LocalBackend], object]) -> None:
    """Acts that need no preparation."""
    for name, do in acts.items():
        ACTS[f"{port} {name}"] = _unprepared(do)


def _unprepared(do: Callable[[LocalBackend], object]) -> Callable[[Case], Act]:
    return lambda case: lambda: do(case.backend)


each(
    "backend",
    exists=lambda b: b.exists(),
    require=lambda b: b.require(),
    create=lambda b: b.create(),
    is_writable=lambda b: b.is_writable(),
    cautions=lambda b: b.cautions(),
    view=lambda b: b.view(NOW),
    rehearse=lambda b: b.rehearse(NOW, {}),
    refresh=lambda b: b.refresh(),
    make_durable=lambda b: b.make_durable(),
    clear_leftovers=lambda b: b.clear_leftovers(),
    let_go=lambda b: b.let_go(at_once=True),
    leave=lambda b: b.leave(),
    prepare_ingest=lambda b: b.prepare_ingest(),
    begin_ingest=lambda b: another_ingest(b).close(),
    hold=lambda b: b.hold("a name", "a test", [digest_of("image")]).release(),
    hard_leases=lambda b: b.hard_leases(to_change=True),
    space=lambda b: b.space(),
    lacking_bytes=lambda b: b.lacking_bytes(),
    trust_policy=lambda b: b.trust_policy(),
)
each(
    "published",
    generation=lambda b: b.published.generation(),
    is_foreign=lambda b: b.published.is_foreign(),
    is_withdrawn=lambda b: b.published.is_withdrawn(),
    note=lambda b: b.published.note(3),
    flush=lambda b: b.published.flush(),
)
each(
    "uses",
    note=lambda b: b.uses.note([digest_of("image")], NOW),
    mark=lambda b: b.uses.mark(),
    read=lambda b: b.uses.read(NOW),
)
each(
    "reserve",
    is_wanted=lambda b: b.reserve.is_wanted(),
    give_up=lambda b: b.reserve.give_up(),
    restore=lambda b: b.reserve.restore(),
)
each(
    "checks",
    check=lambda b: b.checks.check([], content=True),
    give_rights_back=lambda b: b.checks.give_rights_back(),
    is_damaged=lambda b: b.checks.is_damaged(),
    require_sound=lambda b: b.checks.require_sound(),
    kept_aside=lambda b: b.checks.kept_aside(),
    recount=lambda b: b.checks.recount(lambda: b.view(NOW), lambda change: change(begin(b))),
)
each(
    "blobs",
    walk=lambda b: list(b.blobs.walk()),
    strangers=lambda b: list(b.blobs.strangers([])),
)


@act
def beginning_an_upload(case: Case) -> Act:
    return case.backend.uploads().begin


@act
def the_size_of_an_upload(case: Case) -> Act:
    uploads = case.backend.uploads()
    upload = uploads.begin()
    return lambda: uploads.size(upload)


@act
def adding_to_an_upload(case: Case) -> Act:
    uploads = case.backend.uploads()
    upload = uploads.begin()
    return lambda: uploads.append(upload, BytesIO(NEW))


@act
def finishing_an_upload(case: Case) -> Act:
    uploads = case.backend.uploads()
    upload = uploads.begin()
    uploads.append(upload, BytesIO(NEW))
    return lambda: uploads.finish(upload, sha256(NEW))


@act
def cancelling_an_upload(case: Case) -> Act:
    uploads = case.backend.uploads()
    upload = uploads.begin()
    return lambda: uploads.cancel(upload)


def an_uploaded_blob(case: Case) -> Uploads:
    uploads = case.backend.uploads()
    upload = uploads.begin()
    uploads.append(upload, BytesIO(NEW))
    uploads.finish(upload, sha256(NEW))
    return uploads


@act
def finding_an_uploaded_blob(case: Case) -> Act:
    uploads = an_uploaded_blob(case)
    return lambda: uploads.find(sha256(NEW))


@act
def reading_an_uploaded_blob(case: Case) -> Act:
    uploads = an_uploaded_blob(case)

    def read() -> None:
        with uploads.open(sha256(NEW)) as file:
            file.read()

    return read


@act
def dropping_an_uploaded_blob(case: Case) -> Act:
    an_uploaded_blob(case)
    ingest = case.backend.begin_ingest(lambda: case.backend.view(NOW), with_uploads=True)
    ingest.has(sha256(NEW))
    return lambda: ingest.close(drop_uploads=True)


@act
def taking_up_an_uploaded_blob(case: Case) -> Act:
    an_uploaded_blob(case)
    ingest = case.backend.begin_ingest(lambda: case.backend.view(NOW), with_uploads=True)
    case.until.callback(ingest.close)
    return lambda: ingest.has(sha256(NEW))


@act
def taking_the_lock(case: Case) -> Act:
    lock = case.backend.lock(0.05, "a test")
    case.until.callback(lock.release)
    return lock.acquire


@act
def the_door(case: Case) -> Act:
    def through() -> None:
        with case.backend.door(0.05, shared=False):
            pass

    return through


@act
def hard_leases_of_others(case: Case) -> Act:
    case.until.callback(case.backend.hold("a", "b", [case.layer]).release)
    return lambda: case.backend.another().hard_leases()


@act
def preparing_a_change(case: Case) -> Act:
    case.locked()
    return lambda: case.backend.prepare(create=True)


@act
def making_a_store(case: Case) -> Act:
    new = case.until.enter_context(closing(LocalBackend(str(case.beside / "above" / "new"))))
    return new.create


@act
def making_its_index(case: Case) -> Act:
    new = case.until.enter_context(closing(LocalBackend(str(case.beside / "new"))))
    new.create()
    lock = new.lock(5, "a test")
    lock.acquire()
    case.until.callback(lock.release)
    return lambda: new.prepare(create=True)


@act
def taking_in_what_another_tool_wrote(case: Case) -> Act:
    index = case.root / "index.json"
    case.damage(index, index.read_bytes().replace(b"generation", b"elsewhere"))
    case.locked()
    return lambda: case.backend.prepare(create=False)


@act
def preparing_without_a_database(case: Case) -> Act:
    case.damage(case.root / "casstore.db", b"no database")
    case.locked()
    return lambda: case.backend.prepare(create=False)


@act
def preparing_a_copy_by_hard_links(case: Case) -> Act:
    os.link(case.root / "casstore.db", case.beside / "a link")
    case.locked()
    return lambda: case.backend.prepare(create=False)


@act
def preparing_an_old_copy(case: Case) -> Act:
    with changing(case.backend) as edits:
        edits.set_meta(GENERATION, 0)
        edits.commit()
    case.backend.close()
    case.locked()
    return lambda: case.backend.prepare(create=False)


@act
def looking_without_a_database(case: Case) -> Act:
    (case.root / "casstore.db").unlink()
    return lambda: case.backend.view(NOW)


@act
def looking_at_a_copy_by_hard_links(case: Case) -> Act:
    os.link(case.root / "casstore.db", case.beside / "a link")
    return lambda: case.backend.view(NOW)


@act
def what_is_unfinished(case: Case) -> Act:
    case.staged_by_the_dead()
    with changing(case.backend) as edits:
        edits.apply(plan_removal(edits, "app:1"))
        edits.commit()

    def look() -> None:
        unfinished = case.backend.unfinished()
        unfinished.would_go()
        unfinished.gone()

    return look


@act
def removing_leftovers(case: Case) -> Act:
    case.staged_by_the_dead()
    return case.backend.remove_leftovers


@act
def what_is_arriving(case: Case) -> Act:
    case.staged_by_the_dead()
    return case.backend.arriving_bytes


@act
def old_copies(case: Case) -> Act:
    (case.root / "casstore.db.damaged-12").touch()

    def remove() -> None:
        case.backend.remove_copies(case.backend.old_copies(NOW * 3))

    return remove


@act
def a_clone(case: Case) -> Act:
    edits = case.changing()
    return lambda: case.backend.template(edits).make(str(case.beside / "a clone"))


@act
def what_became_of_a_clone(case: Case) -> Act:
    template, path = case.backend.template(case.changing()), str(case.beside / "a clone")
    template.make(path)
    made = template.made_at(path)
    os.unlink(os.path.join(path, "index.json"))

    def look() -> None:
        template.made_at(path)
        made.is_as_made()
        made.errors()

    return look


# Blobs, and what is published


@act
def a_blob_by_its_digest(case: Case) -> Act:
    blobs, top = case.backend.blobs, case.top

    def look() -> None:
        blobs.size(top)
        blobs.written(top)
        blobs.open(top).close()
        blobs.read(top)
        blobs.content(top, 3)

    return look


@act
def discarding(case: Case) -> Act:
    case.damage(Path(case.backend.blobs.path(case.layer)), b"")
    both = [case.top, case.layer]
    return lambda: (case.backend.blobs.discard_some(both), case.backend.blobs.discard(both))


@act
def publishing_whole(case: Case) -> Act:
    rows = list(case.changing().all_published())
    return lambda: case.backend.published.write(rows, 8)


@act
def publishing_in_part(case: Case) -> Act:
    rows = list(case.changing().all_published())
    return lambda: case.backend.published.splice([(rows[0], None)], [], 8)


@act
def withdrawing(case: Case) -> Act:
    case.changing()
    return lambda: (case.backend.published.withdraw(), case.backend.published.forget_last())


@act
def compacting_the_last_uses(case: Case) -> Act:
    for second in range(900):
        case.backend.uses.note([case.layer], NOW + second)
    return lambda: case.backend.uses.compact([case.layer], NOW)


# Staging


@act
def finding_what_is_stored(case: Case) -> Act:
    ingest, layer, top = case.ingest(), case.layer, case.top

    def find() -> None:
        ingest.has(layer)
        ingest.open(layer).close()
        ingest.read(top)
        ingest.manifest_of(sha256(NEW))

    return find


@act
def a_new_blob(case: Case) -> Act:
    ingest = case.ingest()

    def stage() -> None:
        for seals in (True, True, False):
            draft = ingest.draft()
            try:
                draft.write(NEW)
                if seals:
                    draft.seal(sha256(NEW), len(NEW))
            finally:
                draft.discard()

    return stage


@act
def a_blob_that_is_gone_on_with(case: Case) -> Act:
    case.staged_by_the_dead()
    ingest = case.ingest()

    def go_on() -> None:
        for seals in (False, True):
            draft = ingest.draft(sha256(NEW))
            try:
                draft.reread().close()
                draft.write(NEW[draft.offset :])
                if seals:
                    draft.seal(sha256(NEW), len(NEW))
            finally:
                draft.leave()

    return go_on


@act
def adopting(case: Case) -> Act:
    path = case.beside / "a file"
    path.write_bytes(NEW)
    path.chmod(0o666)
    ingest = case.ingest()
    return lambda: ingest.adopt(str(path), sha256(NEW), len(NEW))


@act
def scratch_space(case: Case) -> Act:
    ingest = case.ingest()

    def use() -> None:
        with ingest.scratch() as file:
            file.write(NEW)

    return use


@act
def giving_up_what_is_staged(case: Case) -> Act:
    ingest = case.ingest()
    ingest.add(NEW)
    return lambda: ingest.keep_only(set())


@act
def flushing_what_is_staged(case: Case) -> Act:
    ingest = case.ingest()
    for number in range(2):
        ingest.add(b"%d" % number)
    return ingest.flush


@act
def publishing_what_is_staged(case: Case) -> Act:
    ingest, layer = case.ingest(), case.layer
    ingest.add(NEW)
    ingest.has(layer)
    case.backend.blobs.discard([layer])
    return lambda: ingest.publish(lambda _: set())


@act
def ending_an_ingest(case: Case) -> Act:
    ingest = case.ingest()
    draft = ingest.draft(sha256(NEW))
    draft.write(NEW)
    draft.leave()
    return lambda: ingest.close(keep_parts=True)


# Contents of layers


@act
def tables_of_contents(case: Case) -> Act:
    contents, layer = case.backend.contents, case.layer

    def use() -> None:
        draft = contents.draft()
        if draft is not None:
            draft.write(NEW)
            contents.keep(draft, layer)
        table = contents.open(layer)
        if table is not None:
            table.close()
        list(contents.walk())
        contents.discard([layer])

    return use


# A change


@act
def committing(case: Case) -> Act:
    edits = case.changing()
    edits.admit(image("another", "base"))

    def commit() -> None:
        edits.commit()
        edits.forget_unlinked(case.layer)
        edits.compact()

    return commit


# Checks


@act
def checking_what_another_tool_wrote(case: Case) -> Act:
    index = case.root / "index.json"
    case.damage(index, index.read_bytes().replace(b"generation", b"elsewhere"))
    return lambda: case.backend.checks.check([], content=False)


@act
def repairing(case: Case) -> Act:
    case.damage(Path(case.backend.blobs.path(case.layer)), b"other bytes")
    (case.root / "index.json.foreign-1").write_bytes(b'{"schemaVersion":2,"manifests":[]}')
    change = case.until.enter_context(begin(case.backend))
    return lambda: case.backend.checks.repair(change, content=True)


@act
def mending_from_an_archive(case: Case) -> Act:
    case.damage(Path(case.backend.blobs.path(case.layer)), b"other bytes")
    archive = case.beside / "archive.tar"
    archive.write_bytes(ARCHIVE)
    checks = case.backend.checks
    return lambda: checks.mend_from(lambda: begin(case.backend), [str(archive)], content=True)


@act
def rebuilding(case: Case) -> Act:
    (case.root / "casstore.db").unlink()
    (case.root / "index.json").unlink()
    return lambda: case.backend.checks.rebuild(lambda: begin(case.backend), case.locked)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an image, which nobody has open."""
    path = tmp_path_factory.mktemp("refusals") / "store"
    with store_of(Session(LocalBackend(str(path))), Store) as store:
        store.load(io.BytesIO(ARCHIVE))
        store.session.backend.uses.note([digest_of("image")], NOW)
    return path


@pytest.fixture
def fault(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fault:
    monkeypatch.setattr(fsck, "PAUSE", 0)
    monkeypatch.setattr(ownfiles, "_PAUSE", 0)
    return Fault(template, tmp_path, Faults(str(tmp_path), monkeypatch))


class Fault:
    """Does an act on a store of its own, and lets a call fail."""

    def __init__(self, template: Path, place: Path, faults: Faults) -> None:
        self._template, self._place, self._faults = template, place, faults
        self._count = 0

    def met(self, make: Callable[[Case], Act], number: int, reason: int) -> int:
        """How many calls the act has made; raises what it raises."""
        self._count += 1
        beside = self._place / f"{self._count}"
        shutil.copytree(self._template, beside / "store")
        backend = LocalBackend(str(beside / "store"))
        with closing(backend), ExitStack() as until:
            do = make(Case(backend, beside, until))
            with self._faults.at(number, reason):
                do()
        return len(self._faults.calls)

    def locks_kept(self) -> list[str]:
        """Locks of the stores that this process has still."""
        paths = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        return [
            path for path in paths if path.startswith(str(self._place)) and path.endswith(".lock")
        ]

    def numbers(self, make: Callable[[Case], Act]) -> Iterator[int]:
        """Which of the calls of an act are to fail, one after the other."""
        count = self.met(make, 0, 0)
        step = -(-count // MOST)
        yield from range(1, count + 1, max(step, 1))


@pytest.mark.parametrize("name", ACTS)
def test_what_the_system_refuses_is_told_as_an_error_of_the_store_and_keeps_no_lock(
    name: str, fault: Fault
) -> None:
    for number in fault.numbers(ACTS[name]):
        try:
            fault.met(ACTS[name], number, errno.EIO)
        except CasstoreError:
            pass
        assert fault.locks_kept() == []


def test_a_change_never_overlooks_a_lease_that_cannot_be_read(fault: Fault) -> None:
    found: list[list[str]] = []

    def leases(case: Case) -> Act:
        case.until.callback(case.backend.hold("mine", "a test", [case.layer]).release)

        def look() -> None:
            found.append([lease.name for lease in case.backend.hard_leases(to_change=True)])

        return look

    refused = 0
    for number in fault.numbers(leases):
        try:
            fault.met(leases, number, errno.EIO)
        except StorageError:
            refused += 1

    assert refused > 0
    assert found == [["mine"]] * len(found)


@pytest.mark.parametrize(
    "name", ["a new blob", "flushing what is staged", "publishing what is staged"]
)
def test_a_full_disk_is_told_as_one_to_who_stages(name: str, fault: Fault) -> None:
    for number in fault.numbers(ACTS[name]):
        with pytest.raises(StorageError, match="no space left on device") as caught:
            fault.met(ACTS[name], number, errno.ENOSPC)
        assert caught.value.full


def test_what_cannot_be_read_of_a_file_that_a_port_hands_out_is_told_so_too(
    template: Path, tmp_path: Path
) -> None:
    shutil.copytree(template, tmp_path / "store")
    with closing(LocalBackend(str(tmp_path / "store"))) as backend:
        ingest = another_ingest(backend)
        top = next(iter(backend.view(NOW).all_tops()))[1].digest
        with ExitStack() as until:
            until.callback(ingest.close)
            draft = ingest.draft()
            until.callback(draft.discard)
            files = backend.blobs.open(top), ingest.open(top), draft.reread(), ingest.scratch()
            directory = os.open(tmp_path, os.O_RDONLY)
            until.callback(os.close, directory)
            for file in map(until.enter_context, files):
                os.dup2(directory, file.fileno())  # which gives no bytes
                for size in (-1, 3):
                    with pytest.raises(StorageError, match=r"^cannot read .*: is a directory"):
                        file.read(size)
