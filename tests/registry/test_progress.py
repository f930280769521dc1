"""What a pull and a push tell of how far they are."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore import NotFound, Place, ProgressUpdate
from casstore.backends.local.leftovers import PART
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.progress import Progress, Task
from casstore.registry.access import Access
from casstore.registry.blobstream import BlobStream
from casstore.registry.http import Transport
from casstore.registry.remote import Registry, Repository
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.registry.conftest import NewStore, filled
from tests.registry.servers import RealRegistry
from tests.sessions.commandline import casstore
from tests.store.test_progress import Others
from tests.transfer.building import OCI_LAYER, Layout

NAME = "progress/app:1"


def push(store: Store, host: str, path: Path) -> Progress:
    layout = Layout()
    layout.publish(layout.image("a" * 200_000, "b" * 300_000), f"{host}/{NAME}")
    filled(store, layout, path)
    store.session.progress = Progress()
    store.push(f"{host}/{NAME}")
    return store.session.progress


def sizes(store: Store) -> list[int]:
    """Of the blobs that are not manifests."""
    blobs = {state for image in store.images() for state in store.session.view().needs_of(
        store.get(image.id).manifests[0])}  # fmt: skip
    return sorted(state.size for state in blobs)


def test_a_push_counts_each_blob_to_its_end(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    store = new_store()
    progress = push(store, registry.host, tmp_path)

    assert {task.name for task in progress.tasks} == {"Pushing"}
    assert sorted(task.done for task in progress.tasks) == sizes(store)
    assert all(task.finished for task in progress.tasks)


def test_a_pull_counts_each_blob_to_its_end(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    push(new_store(), registry.host, tmp_path)
    store = new_store()
    store.session.progress = Progress()
    store.pull(f"{registry.host}/{NAME}")
    tasks = [task for task in store.session.progress.tasks if task.name == "Pulling"]

    assert tasks
    assert [task.done for task in tasks] == [task.total for task in tasks]
    assert {task.item for task in tasks} >= {
        layer.short for layer in store.get(f"{registry.host}/{NAME}").layers
    }


def test_what_is_there_already_is_not_counted(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    push(new_store(), registry.host, tmp_path)
    store = new_store()
    store.pull(f"{registry.host}/{NAME}")
    store.session.progress = Progress()
    store.pull(f"{registry.host}/{NAME}")

    assert [task.name for task in store.session.progress.tasks if task.name == "Pulling"] == []


def test_a_blob_that_is_gone_on_with_counts_from_there() -> None:
    task = Task("Pulling", 100, "", "bytes")
    task.advance(70)
    repository = Repository(Registry(Transport(Access()), "registry.example"), "a/b")
    BlobStream(repository, Descriptor(OCI_LAYER, sha256(b"x"), 100), 40, task)

    assert task.done == 40


def test_the_commands_show_it(registry: RealRegistry, new_store: NewStore, tmp_path: Path) -> None:
    push(new_store(), registry.host, tmp_path)
    store = new_store()
    result = casstore(store.path, ["pull", "-q", "--progress=json", f"{registry.host}/{NAME}"])
    lines = [json.loads(line) for line in result.err.splitlines()]
    ended = [one for one in lines if one["completed"]]

    assert result.out == f"{registry.host}/{NAME}\n"
    assert [one["name"] for one in ended] == ["Pulling", "Committing"]
    assert ended[0]["current"] == ended[0]["total"] > 0


# Called back


WAYS: dict[str, Callable[[Store, str], object]] = {
    "pull": lambda store, host: store.pull(f"{host}/{NAME}"),
    "copy_in": lambda store, host: store.copy_in(Place("docker", f"{host}/{NAME}", ""), "in:1"),
    "push": lambda store, host: store.push(f"{host}/{NAME}"),
    "copy_out": lambda store, host: store.copy_out(
        f"{host}/{NAME}", Place("docker", f"{host}/called/back:1", "")
    ),
}


class Halt(Exception):
    """The callback's own."""


@pytest.mark.parametrize("way", WAYS)
def test_a_callback_hears_of_each_blob_in_the_thread_that_called(
    way: str, registry: RealRegistry, new_store: NewStore, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    origin, store = new_store(), new_store()
    push(origin, registry.host, tmp_path)
    brings = way in ("pull", "copy_in")
    others = Others(monkeypatch) if brings else None
    told: list[ProgressUpdate] = []
    threads: set[int] = set()

    def call(update: ProgressUpdate) -> None:
        told.append(update)
        threads.add(threading.get_ident())
        if others is not None:
            others.call(update)

    one = store if brings else origin
    one.session.progress, one.progress = None, call
    WAYS[way](one, registry.host)

    assert threads == {threading.get_ident()}
    blobs = [update for update in told if update.name != "Committing"]
    assert {update.name for update in blobs} == {"Pulling" if brings else "Pushing"}
    assert all(update.done == update.total for update in blobs if update.finished)
    ended = {update.item for update in blobs if update.finished}
    assert ended == {update.item for update in blobs if not update.finished}
    image = one.get("in:1" if way == "copy_in" else f"{registry.host}/{NAME}")
    config = set() if brings else {image.id.short}  # which a pull reads as a document
    assert ended == {layer.short for layer in image.layers} | config


def test_a_callback_is_called_while_a_push_waits(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, layout = new_store(), Layout()
    layout.publish(layout.image(os.urandom(200_000).hex()), f"{registry.host}/waits:1")
    filled(store, layout, tmp_path)
    others = Others(monkeypatch)
    store.progress = others.call

    store.push(f"{registry.host}/waits:1")

    assert others.have_waited


@pytest.mark.parametrize("way", ["pull", "copy_in"])
def test_a_pull_that_a_callback_ends_brings_nothing_and_can_go_on(
    way: str, registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    push(new_store(), registry.host, tmp_path)
    store = new_store()
    parts = 0
    for number in range(100):
        calls: list[ProgressUpdate] = []
        error = Halt(number)

        def call(
            update: ProgressUpdate, calls: list[ProgressUpdate] = calls, error: Halt = error
        ) -> None:
            calls.append(update)
            if len(calls) > error.args[0]:
                raise error

        store.progress = call
        try:
            WAYS[way](store, registry.host)
        except Halt:
            store.progress = None
            assert store.images(all=True) == []
            assert store.check().clean
            left = os.listdir(directory_of(store).ingest)
            assert [name for name in left if not name.startswith(PART)] == []
            parts += len(left)
        else:
            break

    store.progress = None
    assert number > 2
    assert parts > 0
    assert store.names()


def test_a_push_that_a_callback_ends_names_nothing_in_the_registry(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    store, layout = new_store(), Layout()
    name = f"{registry.host}/ended:1"
    layout.publish(layout.image("a" * 100_000, "b" * 100_000), name)
    filled(store, layout, tmp_path)
    ended = 0
    for number in range(20):
        told: list[ProgressUpdate] = []

        def call(
            update: ProgressUpdate, told: list[ProgressUpdate] = told, most: int = number
        ) -> None:
            told.append(update)
            if len(told) > most:
                raise Halt

        store.progress = call
        try:
            store.push(name)
        except Halt:
            ended += 1
            with pytest.raises(NotFound):
                new_store().pull(name)
            assert store.leases.list() == []
        else:
            break

    store.progress = None
    assert ended >= 6  # three blobs begin, and end
    assert new_store().pull(name).images
