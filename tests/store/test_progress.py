"""Long methods call back with how far they are; and what is called can end them, cleanly."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from casstore import (
    NotFound,
    Place,
    PlanOutdated,
    ProgressUpdate,
    Refused,
    Stop,
    Stopped,
    Store,
)
from casstore.errors import CasstoreError, Locked
from casstore.flows import save as saving
from casstore.gc import garbage
from casstore.gc import run as running
from casstore.progress import Progress, Task
from casstore.transfer import blobplaces, verification
from casstore.trust.keys import public_pem
from tests.architecture.sources import ROOT
from tests.store.test_encrypting import private
from tests.transfer.building import Layout, docker_archive, layer, tar_of
from tests.transfer.streams import Pipe

NOISE = [os.urandom(200_000).hex() for _ in range(3)]
ARCHIVE = docker_archive(
    {"layers": [layer(NOISE[0])], "tags": ["app:1"]},
    {"layers": [layer(NOISE[0]), layer(NOISE[1])], "tags": ["app:2"]},
)
MORE = docker_archive({"layers": [layer(NOISE[2])], "tags": ["more:1"]})
KEY = ec.generate_private_key(ec.SECP256R1())
RECIPIENT = ("jwe", public_pem(KEY.public_key()))


def layout(path: Path) -> Path:
    made = Layout()
    made.publish(made.image(*NOISE), "layout:1")
    return Path(made.write(str(path)))


class Files(NamedTuple):
    """What methods read, and where they write."""

    archive: Path
    packed: Path
    layout: Path
    folder: Path
    rootfs: Path
    out: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    files = Files(*(folder / f"{name}.tar" for name in Files._fields))
    files.archive.write_bytes(MORE)
    files.packed.write_bytes(gzip.compress(MORE))
    files.rootfs.write_bytes(tar_of({"file": NOISE[2].encode()}))
    layout(files.layout)
    store = Store.in_memory()
    store.load(files.layout)
    store.copy_out("layout:1", place("dir", files.folder))
    return files


@pytest.fixture
def files(made: Files, tmp_path: Path) -> Files:
    return made._replace(out=tmp_path / "out")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        store.encrypt("app:2", "sealed:1", [RECIPIENT])
        yield store


@pytest.fixture(autouse=True)
def _at_every_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls come as often as anything is counted; threads are used for small files, too."""
    monkeypatch.setattr("casstore.progress.INTERVAL", 0.0)
    monkeypatch.setattr(verification, "SMALL", 0)
    monkeypatch.setattr(blobplaces, "SMALL", 0)


def place(transport: str, path: Path, reference: str = "") -> Place:
    return Place(transport, path, reference)


Act = Callable[[Store, Files], object]
# Methods that bring something in or change nothing of the store, and the tasks that they have.
WAYS: dict[str, tuple[str, Act]] = {
    "load": ("Loading Committing", lambda s, f: s.load(f.archive)),
    "load of a packed archive": ("Reading Loading Committing", lambda s, f: s.load(f.packed)),
    "load of a layout": ("Loading Committing", lambda s, f: s.load(f.layout)),
    "load of a stream": ("Reading Loading Committing", lambda s, f: s.load(Pipe(MORE))),
    "import": ("Importing Committing", lambda s, f: s.import_image(f.rootfs, "new:1")),
    "copy_in of an archive": (
        "Loading Committing",
        lambda s, f: s.copy_in(place("docker-archive", f.archive), "new:1"),
    ),
    "copy_in of a layout": (
        "Loading Committing",
        lambda s, f: s.copy_in(place("oci", f.layout), "new:1"),
    ),
    "load of a directory": ("Loading Committing", lambda s, f: s.load(f.folder)),
    "encrypt": (
        "Encrypting Committing",
        lambda s, f: s.encrypt("app:1", "new:1", [RECIPIENT]),
    ),
    "decrypt": (
        "Decrypting Committing",
        lambda s, f: s.decrypt("sealed:1", "new:1", private(KEY)),
    ),
    "save": ("Saving", lambda s, f: s.save(["app:1", "app:2"], f.out)),
    "save as OCI": ("Saving", lambda s, f: s.save(["app:2"], f.out, format="oci")),
    "save as a layout": ("Saving", lambda s, f: s.save(["app:2"], f.out, format="oci-dir")),
    "copy_out": ("Saving", lambda s, f: s.copy_out("app:2", place("docker-archive", f.out))),
    "copy_out to a layout": ("Saving", lambda s, f: s.copy_out("app:2", place("oci", f.out))),
    "copy_out to a directory": (
        "Saving",
        lambda s, f: s.copy_out("app:2", place("dir", f.out)),
    ),
    "check": ("Checking", lambda s, f: s.check()),
}
each_way = pytest.mark.parametrize("way", WAYS)


def updates(store: Store, act: Callable[[], object]) -> list[ProgressUpdate]:
    """What is called for while `act` goes on."""
    told: list[ProgressUpdate] = []
    store.progress = told.append
    try:
        act()
    finally:
        store.progress = None
    return told


def state(store: Store) -> object:
    """All that an image that is half there would change."""
    folder = Path(store.path)
    return (
        sorted((name, image.id) for image in store.images(all=True) for name in image.names),
        sorted(os.listdir(folder / "blobs" / "sha256")),
        [name for name in os.listdir(folder / "ingest") if not name.startswith("part-")],
        store.leases.list(),
        store.check().findings,
    )


# What is told


@each_way
def test_each_task_begins_goes_on_and_ends(store: Store, files: Files, way: str) -> None:
    names, act = WAYS[way]

    told = updates(store, lambda: act(store, files))

    assert list(dict.fromkeys(one.name for one in told)) == names.split()
    for name in names.split():
        first, *_, last = [one for one in told if one.name == name] * 2
        assert (first.done, first.finished) == (0, False)
        if name != "Committing":
            assert last.finished
            assert last.done == last.total or last.total is None
    counts = [(one.name, one.done) for one in told]
    assert counts == sorted(counts, key=lambda count: (names.split().index(count[0]), count[1]))
    assert len(told) > len(names.split()) * 2 - 1


def test_an_update_says_what_is_counted(store: Store, files: Files) -> None:
    told = updates(store, lambda: store.load(files.archive))

    size = files.archive.stat().st_size
    assert told[0] == ProgressUpdate("Loading", "", "bytes", 0, size, finished=False)
    assert any(0 < one.done < size for one in told)
    assert told[-2] == ProgressUpdate("Loading", "", "bytes", size, size, finished=True)
    assert told[-1] == ProgressUpdate("Committing", "", "bytes", 0, None, finished=False)


def test_no_update_says_more_than_the_total(store: Store, files: Files) -> None:
    told = updates(store, lambda: store.save(["app:2"], files.out))

    assert all(one.done <= one.total for one in told if one.total is not None)


def test_gc_tells_of_blobs_and_of_images(store: Store) -> None:
    Path(store.path, "blobs", "sha256", "0" * 64).write_bytes(b"nobody needs this")
    told = updates(store, lambda: store.collect({"keep": 0, "min-age": "0s", "only": ["app:*"]}))

    assert told[0] == ProgressUpdate("Collecting", "", "blobs", 0, 1, finished=False)
    assert told[-1] == ProgressUpdate("Removing", "", "images", 1, 1, finished=True)


def test_calls_come_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casstore.progress.INTERVAL", 0.1)
    now = iter(at / 1000 for at in itertools.count())
    monkeypatch.setattr("casstore.progress.time.monotonic", lambda: next(now))
    told: list[ProgressUpdate] = []
    task = Progress(told.append).task("Loading")
    for _ in range(5000):
        task.advance(1)

    assert 40 <= len(told) <= 55  # the clock goes on by a thousandth whenever it is asked
    assert task.done == 5000


# Where it is called


@each_way
def test_it_is_called_in_the_thread_that_called(store: Store, files: Files, way: str) -> None:
    threads: set[int] = set()
    store.progress = lambda _: threads.add(threading.get_ident())
    WAYS[way][1](store, files)

    assert threads == {threading.get_ident()}


WORKED_ON_BY_OTHERS: dict[str, Act] = {
    "load": lambda s, f: s.load(f.layout),
    "load of a directory": lambda s, f: s.load(f.folder),
    "decrypt": lambda s, f: s.decrypt("sealed:1", "new:1", private(KEY)),
    "save": lambda s, f: s.save(["app:1", "app:2"], f.out),
    "save of a layer as a stream": lambda s, f: s.save(["layout:1"], f.out),
    "check": lambda s, f: s.check(),
}


@pytest.mark.parametrize("work", WORKED_ON_BY_OTHERS)
def test_it_is_called_while_the_thread_waits_for_others(
    store: Store, files: Files, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if work == "decrypt":
        store.remove(["app:1", "app:2"])  # or its layers would be there in the clear
    elif "layer" in work:
        store.load(files.layout)
    monkeypatch.setattr(saving, "LARGE", 0)
    others = Others(monkeypatch)
    store.progress = others.call

    WORKED_ON_BY_OTHERS[work](store, files)

    assert others.have_waited


class Others:
    """Threads that count, and then wait until `call` is called by the thread that began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waiting, self._called = threading.Event(), threading.Event()
        here, count = threading.get_ident(), Task.advance

        def advance(task: Task, by: int) -> None:
            count(task, by)
            if by and threading.get_ident() != here:
                self._waiting.set()
                assert self._called.wait(20), "nobody is called while this thread is waited for"

        monkeypatch.setattr("casstore.progress.INTERVAL", 0.01)
        monkeypatch.setattr(Task, "advance", advance)

    def call(self, update: ProgressUpdate) -> None:
        if self._waiting.is_set() and update.done:
            self._called.set()

    @property
    def have_waited(self) -> bool:
        return self._waiting.is_set()


# What is raised


class Halt(Exception):
    """The callback's own."""


def stopping(number: int, error: BaseException) -> Callable[[ProgressUpdate], None]:
    """A callback whose n-th call raises, and which must not be called again."""
    calls = itertools.count()

    def call(_: ProgressUpdate) -> None:
        at = next(calls)
        assert at <= number, "it is called again after it has raised"
        if at == number:
            raise error

    return call


def ended_by(error: Halt, act: Callable[[], object]) -> bool:
    try:
        act()
    except Halt as raised:
        return raised is error
    return False


@each_way
def test_an_error_at_any_call_leaves_all_as_it_was(store: Store, files: Files, way: str) -> None:
    act = WAYS[way][1]
    before = state(store)
    for number in range(200):
        error = Halt(number)
        store.progress = stopping(number, error)
        if not ended_by(error, lambda: act(store, files)):
            break
        store.progress = None
        assert state(store) == before
        assert not files.out.exists()
        assert os.listdir(files.out.parent) == ["store"]
    else:
        pytest.fail("it never came to its end")

    assert number > 2
    store.progress = None
    assert store.check().clean


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    "error",
    [
        Halt("own"),
        OSError(28, "No space left on device"),
        BrokenPipeError(32, "Broken pipe"),
        Locked("somebody else's"),
        Refused("no"),
        MemoryError(),
        KeyboardInterrupt(2),
        SystemExit(3),
        Stopped(15),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("way", ["load", "load of a layout", "save", "check"])
def test_whatever_it_raises_comes_out_unchanged(
    store: Store, files: Files, way: str, error: BaseException, number: int
) -> None:
    store.progress = stopping(number, error)

    with pytest.raises(type(error)) as raised:
        WAYS[way][1](store, files)

    assert raised.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert [entry.name for entry in raised.traceback][-1] == "call"


def test_an_error_between_two_turns_of_gc_leaves_the_turns_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "IMAGES_A_TURN", 1)
    monkeypatch.setattr(running, "PAUSE", 0.0)
    for number in range(5):
        store.load(io.BytesIO(docker_archive({"layers": [layer(f"{number}")]})))
    before = len(store.images(all=True))

    def call(update: ProgressUpdate) -> None:
        if update.name == "Removing" and update.done == 2:
            raise Locked("which gc takes for the end of its turns")

    store.progress = call
    with pytest.raises(Locked, match="which gc takes"):
        store.collect({"keep": 0, "min-age": "0s", "filter": ["dangling=true"]})

    assert len(store.images(all=True)) == before - 2
    assert store.check().clean


def test_a_callback_can_end_a_policys_turns_and_have_the_result(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "IMAGES_A_TURN", 1)
    monkeypatch.setattr(running, "PAUSE", 0.0)
    stop = Stop()

    def call(update: ProgressUpdate) -> None:
        stop.asked = stop.asked or (update.name == "Removing" and update.done == 1)

    store.progress = call
    result = store.collect({"keep": 0, "min-age": "0s", "only": ["app:*", "sealed:*"]}, stop=stop)

    assert (result.ended, len(result.removed)) == ("stopped", 1)


def test_an_error_in_gc_is_not_raised_with_the_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "MOST", 1)
    monkeypatch.setattr(garbage, "PAUSE", 0.0)
    for number in range(4):
        Path(store.path, "blobs", "sha256", f"{number:064}").write_bytes(b"nobody needs this")

    def call(_: ProgressUpdate) -> None:
        with Store(store.path, lock_timeout=0.0) as other:
            other.tag("app:1", "seen:1")

    store.progress = call
    store.gc()

    assert store.get("seen:1") == store.get("app:1")
    assert store.check().clean


def test_nothing_is_told_after_the_commit(store: Store, files: Files) -> None:
    there: list[bool] = []

    def call(_: ProgressUpdate) -> None:
        with Store(store.path) as other:
            there.append("more:1" in other.names())

    store.progress = call
    store.load(files.archive)

    assert set(there) == {False}
    assert "more:1" in store.names()


def test_an_error_of_the_work_itself_is_raised_as_ever(store: Store, tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(ARCHIVE[:100_000])
    told = updates_of_failure(store, tmp_path / "cut.tar", Refused)

    assert told
    assert not told[-1].finished
    updates_of_failure(store, tmp_path / "nosuch.tar", NotFound)


def updates_of_failure(store: Store, path: Path, kind: type[CasstoreError]) -> list[ProgressUpdate]:
    def act() -> None:
        with pytest.raises(kind):
            store.load(path)

    return updates(store, act)


# How it is given


def test_it_is_given_with_the_store_or_set_later(tmp_path: Path, files: Files) -> None:
    told: list[str] = []

    class Bar:
        def __call__(self, update: ProgressUpdate, /) -> None:
            told.append(update.name)

    bar = Bar()
    with Store(tmp_path / "store", progress=bar) as store:
        assert store.progress is bar
        store.load(files.archive)
        assert {"Loading", "Committing"} == set(told)
        told.clear()
        store.progress = None
        store.check()
        assert told == []


def test_what_cannot_be_called_is_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="progress is called: str cannot be"):
        store.progress = "plain"  # type: ignore[assignment]  # mypy refuses it too
    with pytest.raises(TypeError):
        Store(store.path, progress=PlanOutdated("no"))  # type: ignore[arg-type]  # the same


def test_a_copy_of_a_store_calls_nobody(store: Store) -> None:
    import pickle

    store.progress = print
    again: Store = pickle.loads(pickle.dumps(store))  # noqa: S301 - what we have just written

    assert again.progress is None


def test_a_store_in_memory_tells_too(files: Files) -> None:
    store = Store.in_memory()

    assert updates(store, lambda: store.load(files.archive))[-1].name == "Committing"


def test_it_needs_nothing_of_the_command_line(tmp_path: Path, files: Files) -> None:
    program = """
import sys
import casstore
names = []
with casstore.Store(sys.argv[1], progress=lambda update: names.append(update.name)) as store:
    store.load(sys.argv[2])
print(sorted(set(names)), [name for name in sys.modules if name.startswith("casstore.cli")])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "new", files.archive],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "['Committing', 'Loading'] []\n"
