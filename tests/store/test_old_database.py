"""An old casstore.db in a store whose index.json says nothing: gc takes nothing without a word."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest

from casstore.errors import Damaged
from casstore.store import Store
from tests.transfer.building import docker_archive, layer


def image(name: str) -> io.BytesIO:
    return io.BytesIO(docker_archive({"layers": [layer(name)], "tags": [f"{name}:1"]}))


@pytest.mark.parametrize("published", [False, True])
def test_what_came_after_an_old_copy_stays_until_a_person_decides(
    tmp_path: Path, *, published: bool
) -> None:
    root = tmp_path / "store"
    with Store(str(root)) as store:
        store.load(image("first"))
        store.publish(on_demand=True)
        store.load(image("second"))
        if published:
            store.publish()
    shutil.copy(root / "casstore.db", tmp_path / "old.db")
    with Store(str(root)) as store:
        store.load(image("third"))
    newer = (root / "casstore.db").read_bytes()
    blobs = sorted(path.name for path in (root / "blobs" / "sha256").iterdir())
    shutil.copy(tmp_path / "old.db", root / "casstore.db")

    with Store(str(root)) as store:
        with pytest.raises(Damaged, match=r"index\.json\.damaged-"):
            store.gc()
        assert "old copy" in store.notices[0]
        store.tag("first:1", "on:1")  # all else goes on
        with pytest.raises(Damaged, match=r"index\.json\.damaged-"):
            store.gc()
        assert len(store.notices) == 1
    assert sorted(path.name for path in (root / "blobs" / "sha256").iterdir()) == blobs

    (root / "casstore.db").write_bytes(newer)
    next(root.glob("index.json.damaged-*")).unlink()
    with Store(str(root)) as store:
        assert [n.familiar for i in store.images() for n in i.names if "third" in n]


def test_a_store_published_on_demand_that_nobody_touched_is_swept_as_ever(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(image("first"))
        store.publish(on_demand=True)
        store.load(image("second"))
        store.remove(["second:1"])
        store.gc()

        assert (store.notices, store.check().clean) == ([], True)
