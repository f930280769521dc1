"""A forked child works on its own with a Store, and undoes nothing of its parent's."""

from __future__ import annotations

import copy
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from casstore.change.leases import Lease
from casstore.errors import Locked, StorageError
from casstore.store import Store
from tests.store.test_store import ARCHIVE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", lock_timeout=5) as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def in_child(act: Callable[[], object]) -> None:
    """Fork, do it in the child, and see that it went well there."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act()
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may go on as a second pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


def names(path: str) -> list[str]:
    with Store(path) as other:
        return sorted(name.familiar for image in other.images(all=True) for name in image.names)


def is_held(path: str) -> bool:
    with Store(path) as other:
        image = other.get("other:1").id
        outcome = other.remove([image.short], force=True, dry_run=True).outcomes[0]
        return outcome.error is not None


ENDS: dict[str, Callable[[Store, Lease], object]] = {
    "it ends at once": lambda store, lease: None,
    "it closes the store": lambda store, lease: store.close(),
    "it releases the lease": lambda store, lease: lease.release(),
    "it leaves the block": lambda store, lease: lease.__exit__(None, None, None),
    "it uses the store": lambda store, lease: store.tag("base:1", "child:1"),
    "it takes a lease of its own": lambda store, lease: store.leases.hold("other:1").release(),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_child_does_not_end_the_lease_of_its_parent(store: Store, end: str) -> None:
    with store.leases.hold("other:1") as lease:
        in_child(lambda: ENDS[end](store, lease))
        assert is_held(store.path)

    assert not is_held(store.path)


def test_a_child_keeps_the_lease_of_a_parent_that_has_ended(store: Store) -> None:
    ready, done = os.pipe(), os.pipe()

    def daemon() -> None:
        store.leases.hold("other:1")
        if os.fork() == 0:
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)

    in_child(daemon)
    os.read(ready[0], 1)
    assert is_held(store.path)

    os.write(done[1], b"x")
    while is_held(store.path):
        pass  # until the kernel has closed what the daemon held
    for end in (*ready, *done):
        os.close(end)


def test_a_child_uses_the_store_of_its_parent(store: Store) -> None:
    store.images()

    for number in range(3):
        in_child(partial(store.tag, "base:1", f"child:{number}"))
        store.tag("base:1", f"parent:{number}")

    of_children = {f"child:{number}" for number in range(3)}
    assert of_children | {f"parent:{number}" for number in range(3)} < set(names(store.path))
    assert store.check().clean


def test_a_child_that_gave_up_its_rights_imports_nothing_more_to_leave_the_parents_database(
    store: Store,
) -> None:
    store.images()

    def act() -> None:
        pytest.MonkeyPatch().setitem(sys.modules, "casstore.backends.local.forkedchild", None)
        assert store.images()
        with Store(store.path) as other:
            assert other.images()

    in_child(act)


def test_parent_and_child_use_the_store_at_a_time(store: Store) -> None:
    def tags(who: str) -> None:
        for number in range(30):
            store.tag("base:1", f"{who}:{number}")
            store.get(f"{who}:{number}")

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=tags, args=(f"child{one}",)) for one in range(3)]
    for child in children:
        child.start()
    tags("parent")
    for child in children:
        child.join()

    assert len(names(store.path)) == 4 + 4 * 30
    assert store.check().clean


def test_a_child_sees_what_its_parent_does_after_the_fork(store: Store) -> None:
    store.images()
    tagged, told = os.pipe()

    def child() -> None:
        os.read(tagged, 1)
        assert store.get("later:1").id == store.get("base:1").id

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    store.tag("base:1", "later:1")
    os.write(told, b"x")
    process.join()

    assert process.exitcode == 0
    os.close(tagged)
    os.close(told)


@pytest.fixture
def changing(store: Store) -> Iterator[tuple[threading.Event, threading.Thread]]:
    """A thread that is in the middle of a change of the store until the event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def change() -> None:
        with store.session.change() as change:
            change.index.set_meta("setting.trash.keep", "7d")
            begun.set()
            go_on.wait()
            change.commit()

    thread = threading.Thread(target=change)
    thread.start()
    begun.wait()
    yield go_on, thread
    go_on.set()
    thread.join()


Changing = tuple[threading.Event, threading.Thread]


def test_a_child_of_a_process_that_is_changing_a_store_says_so(
    store: Store, changing: Changing
) -> None:
    def child() -> None:
        with pytest.raises(StorageError, match="forked while its parent was changing a store"):
            store.images()
        with pytest.raises(StorageError, match="forked while"), Store(store.path) as own:
            own.images()

    in_child(child)
    changing[0].set()
    changing[1].join()

    assert {one.name: one.value for one in store.settings.list()}["trash.keep"] == "7d"
    assert store.check().clean


def test_the_lock_of_a_store_is_not_a_childs_to_keep(store: Store, changing: Changing) -> None:
    born, live = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(born[1], b"x")
        os.read(live[0], 1)
        os._exit(0)
    os.read(born[0], 1)
    changing[0].set()
    changing[1].join()

    with Store(store.path, lock_timeout=0) as other:
        other.tag("base:1", "other:2")

    os.write(live[1], b"x")
    os.waitpid(child, 0)
    for end in (*born, *live):
        os.close(end)


SCRIPT = """
import io, os, sys, threading
from casstore.store import Store
from tests.store.test_store import ARCHIVE
from tests.backends.local.behind import view_of

store = Store(sys.argv[1])
{body}"""
FORK = """child = os.fork()
{indent}if child == 0: sys.exit()
{indent}assert os.waitpid(child, 0)[1] == 0"""
BODIES = {
    "a lease": f"""
with store.leases.hold("base:1") as lease:
    {FORK.format(indent="    ")}
    assert os.path.exists(lease._token.path)
    with Store(sys.argv[1]) as other:
        assert [one.name for one in other.leases.list()] == [lease.name]
""",
    "a load": f"""
class Source(io.BytesIO):
    def read(self, size=-1):
        global child
        if self.tell() >= 1024 and child is None:
            {FORK.format(indent=" " * 12)}
        return super().read(size)

child = None
store.remove(["base:1", "app:1", "app:2", "other:1"])
assert len(store.load(Source(ARCHIVE)).images) == 3
assert child
""",
    "a change of a thread": f"""
begun, go_on = threading.Event(), threading.Event()
def change():
    with store.session.change() as change:
        for number in range(3000):
            change.index.set_meta(f"padding.{{number}}", "x" * 300)
        begun.set()
        go_on.wait()
        for number in range(3000):
            change.index.set_meta(f"more.{{number}}", "x" * 300)
        change.commit()
view_of(store).connection.execute("PRAGMA cache_size = 1")
thread = threading.Thread(target=change)
thread.start()
begun.wait()
{FORK.format(indent="")}
go_on.set()
thread.join()
with Store(sys.argv[1]) as other:
    view = other.session.view()
    assert view.meta("padding.0") == view.meta("more.2999") == "x" * 300
    assert view_of(other).connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
""",
}


@pytest.mark.parametrize("held", BODIES)
def test_what_a_parent_is_doing_survives_that_a_child_leaves_by_sys_exit(
    store: Store, held: str
) -> None:
    # The child unwinds the blocks that the parent is in, and finalizes all objects.
    script = SCRIPT.format(body=BODIES[held])
    done = subprocess.run(
        # From 3.12 on Python warns of every fork beside a thread; that is what is tried here.
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", script, store.path],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert store.check().clean


def test_a_pickled_store_waits_as_long_for_the_lock_as_the_first(tmp_path: Path) -> None:
    impatient = Store(tmp_path / "store", lock_timeout=0.25)
    with impatient, impatient.session.change(create=True) as change:
        change.commit()
    again = pickle.loads(pickle.dumps(impatient))  # noqa: S301 - what we have just written

    with impatient.session.change(), pytest.raises(Locked, match=r"0\.25"):
        again.tag("app:1", "app:2")


def test_a_copied_store_in_memory_has_the_same_memory() -> None:
    store = Store.in_memory()
    again = copy.copy(store)
    with store.session.change(create=True) as change:
        change.commit()

    assert again.images() == []


def test_a_store_in_memory_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="a store in memory cannot be pickled"):
        pickle.dumps(Store.in_memory())


def test_a_pickled_or_copied_store_is_another_store_of_the_same_directory(store: Store) -> None:
    store.images()

    pickled = pickle.loads(pickle.dumps(store))  # noqa: S301 - what we have just written
    for again in (pickled, copy.copy(store)):
        with again:
            assert again.path == store.path
            assert again.get("base:1") == store.get("base:1")
    assert store.get("base:1")


def test_a_lease_cannot_be_handed_to_another_process(store: Store) -> None:
    with store.leases.hold("base:1") as lease:
        for copied in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="holds a lock"):
                copied(lease)
