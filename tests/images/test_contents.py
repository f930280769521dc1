"""What is in the layers of every recorded image, as Python's tarfile finds it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from casstore.errors import CasstoreError
from casstore.model.fileentry import FILE, OPAQUE, SYMLINK, WHITEOUT
from casstore.store import Store
from casstore.transfer.openlayer import open_layer
from tests.architecture.sources import ROOT
from tests.transfer.layertars import contents_of

IMAGES = ROOT / "fixtures" / "images"
ARCHIVES = [
    path
    for folder in ("docker-save", "podman", "ctr", "skopeo")
    for path in sorted((IMAGES / folder).glob("*.tar"))
]


def layers_of(archive: Path) -> list[bytes]:
    """The layers of an archive, uncompressed."""
    with Store.in_memory() as store:
        try:
            store.load(archive)
        except CasstoreError:
            return []  # one that is not to be loaded
        backend, view = store.session.backend, store.session.view()
        records = [view.layer(blob.digest) for blob in view.all_blobs()]
        tars = []
        for record in records:
            if record is not None:
                with open_layer(backend.blobs.open(record.digest), record) as content:
                    tars.append(content.read())
        return tars


def by_tarfile(tar: bytes) -> dict[str, tuple[str, str]]:
    """Files by their contents, links by where they lead, markers by what they hide."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        for member in members:
            name = os.path.normpath("/" + member.name)[1:]
            folder, last = os.path.split(name)
            if last == ".wh..wh..opq":
                found[folder] = (OPAQUE, "")
            elif last.startswith(".wh."):
                found[os.path.join(folder, last[4:])] = (WHITEOUT, "")
            elif member.isreg() or member.islnk():
                content = members.extractfile(member)
                assert content is not None
                found[name] = (FILE, hashlib.sha256(content.read()).hexdigest())
            elif member.issym():
                found[name] = (SYMLINK, member.linkname)
    return found


def test_there_are_recorded_images() -> None:
    assert sum(len(layers_of(archive)) for archive in ARCHIVES) > 20


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_layer_has_what_tarfile_finds_in_it(archive: Path) -> None:
    for tar in layers_of(archive):
        said = {
            entry.name.decode(): (entry.kind, entry.sha256.hex() or entry.target.decode())
            for entry in contents_of(tar, hashes=True)
            if entry.kind in (FILE, SYMLINK, WHITEOUT, OPAQUE)
        }

        assert said == by_tarfile(tar)
