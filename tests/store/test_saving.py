"""save chooses its images in one look at the store, whatever others change meanwhile."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from casstore import saving
from casstore.store import Store
from tests.transfer.building import docker_archive, layer


def test_an_image_that_goes_while_save_looks_is_chosen_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "store")
    with Store(path) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["app:1"]})))
        image = store.get("app:1").id
    resolve = saving.resolve

    def slow(view: object, argument: str) -> object:
        found = resolve(view, argument)  # type: ignore[arg-type]
        with Store(path) as other:
            other.remove(["app:1"])
        return found

    monkeypatch.setattr(saving, "resolve", slow)
    with Store(path) as store:
        assert saving.chosen_images(store._view(), ["app:1"]) == [image]
