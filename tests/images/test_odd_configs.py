"""Configs that the inputs copied to fixtures/ lack, made in code after those that have them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.sessions.commandline import casstore


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
