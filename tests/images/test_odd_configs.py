"""Configs that the inputs copied to fixtures/ lack, made in code after those that have them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from casstore import Store
from tests.sessions.commandline import casstore
from tests.transfer.building import config_of, docker_archive, layer


@pytest.mark.parametrize("created", [None, ""])
def test_an_image_without_a_time_is_listed_and_inspected(
    created: str | None, tmp_path: Path
) -> None:
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    manifest = [{"Config": "c.json", "RepoTags": ["timeless:1"], "Layers": []}]
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        for name, document in (("manifest.json", manifest), ("c.json", config)):
            data = json.dumps(document).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    store = str(tmp_path / "store")
    assert casstore(store, ["load", str(tmp_path / "in.tar")]).err == ""
    shown = casstore(store, ["inspect", "-f", "{{.Created}}", "timeless:1"])
    assert shown == (0, "0001-01-01T00:00:00Z\n", "")
    assert "N/A" in casstore(store, ["images"]).out


LAYER = layer("only")
LABELS = {"a\0b": "c", "k": "v\0w\0", "": "\0", "plain": "x"}


def test_labels_with_nul_stay_whole(tmp_path: Path) -> None:
    config = config_of(LAYER, config={"Labels": LABELS})
    archive = docker_archive({"layers": [LAYER], "config": config, "tags": ["app:1"]})
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(archive))

        (image,) = store.images()
        assert dict(image.labels) == LABELS
        assert dict(store.get("app:1").labels) == LABELS
        assert store.inspect("app:1")["Config"]["Labels"] == LABELS
        for absent in ("a", "b", "c", "v", "k=v", "w"):
            assert list(store.images(filters=[f"label={absent}"])) == [], absent
        assert len(store.images(filters=["label=plain=x"])) == 1
        assert store.check().clean

        store.remove(["app:1"], keep=3600)
        store.trash.restore("app:1")
        assert dict(store.images()[0].labels) == LABELS
        store.check(rebuild=True)
        assert dict(store.images()[0].labels) == LABELS
