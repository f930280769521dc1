"""What a pull and a push tell of how far they are."""

from __future__ import annotations

import json
from pathlib import Path

from casstore.progress import Progress, Task
from casstore.registry.blobstream import BlobStream
from casstore.store import Store
from tests.registry.conftest import NewStore, filled
from tests.registry.servers import RealRegistry
from tests.sessions.commandline import casstore
from tests.transfer.building import Layout

NAME = "progress/app:1"


def push(store: Store, host: str, path: Path) -> Progress:
    layout = Layout()
    layout.publish(layout.image("a" * 200_000, "b" * 300_000), f"{host}/{NAME}")
    filled(store, layout, path)
    store.progress = Progress()
    store.push(f"{host}/{NAME}")
    return store.progress


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
    store.progress = Progress()
    store.pull(f"{registry.host}/{NAME}")
    tasks = [task for task in store.progress.tasks if task.name == "Pulling"]

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
    store.progress = Progress()
    store.pull(f"{registry.host}/{NAME}")

    assert [task.name for task in store.progress.tasks if task.name == "Pulling"] == []


def test_a_blob_that_is_gone_on_with_counts_from_there() -> None:
    task = Task("Pulling", 100, "", "bytes")
    task.advance(70)
    BlobStream(None, None, 40, task)  # type: ignore[arg-type]

    assert task.done == 40


def test_the_commands_show_it(registry: RealRegistry, new_store: NewStore, tmp_path: Path) -> None:
    push(new_store(), registry.host, tmp_path)
    store = new_store()
    result = casstore(store.path, ["pull", "-q", "--progress=json", f"{registry.host}/{NAME}"])
    last = [json.loads(line) for line in result.err.splitlines()]

    assert result.out == f"{registry.host}/{NAME}\n"
    assert [one["name"] for one in last if one["completed"]] == ["Pulling", "Committing"]
    assert last[-2]["current"] == last[-2]["total"] > 0
