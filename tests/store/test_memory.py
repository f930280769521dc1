"""What a command takes of memory, as the kernel counts it, does not grow with labels and layers.

The inputs are a part of those that took more than a gigabyte, and the limits are for that part.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.imageconfig import HistoryEntry, HistoryPrint, is_child_history
from casstore.model.kept import ImageFacts, wanted_labels
from casstore.model.labels import Labels
from casstore.model.record import BlobRecord, ImageRecord
from casstore.rules.filters import parse_filters
from casstore.store import Store
from casstore.transfer import imagebatch
from casstore.transfer.imagebatch import ImageBatch
from tests.transfer.building import config_of, docker_archive, layer

LAYER = layer("content")
IMAGES, LABELS = 15, 60_000  # as pairs of strings they take 200 MiB

# Prints the peak of the process's own memory, which that of whoever started it is no part of.
MEASURED = """
import re, sys
from casstore.cli.main import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(status)
"""
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")


def peak(*words: str) -> int:
    """MiB that `casstore WORDS` takes at its peak; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words], capture_output=True, text=True, check=True
    )
    return int(done.stderr.split()[-1]) >> 10


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of images with very many labels; how it was loaded is in `load`."""
    folder = tmp_path_factory.mktemp("labelled")
    images: list[dict[str, Any]] = [
        {
            "layers": [LAYER],
            "tags": [f"app:{image}"],
            "config": config_of(
                LAYER,
                author=str(image),
                config={"Labels": {f"{number}": "v" for number in range(LABELS)}},
            ),
        }
        for image in range(IMAGES)
    ]
    (folder / "archive.tar").write_bytes(docker_archive(*images))
    taken = peak("--store", str(folder / "store"), "load", "-qi", str(folder / "archive.tar"))
    (folder / "load").write_text(str(taken))
    return folder


@needs_proc
def test_a_load_of_images_with_many_labels_takes_little(labelled: Path) -> None:
    assert int((labelled / "load").read_text()) < 110


@needs_proc
@pytest.mark.parametrize(
    "words",
    [
        ["df"], ["df", "-v"], ["tree"], ["images", "-q"], ["images", "--format", "json"],
        ["images", "-f", "label=none"], ["prune", "-a", "-f", "--filter", "label=none"],
        ["gc", "--dry-run", "--keep", "3"], ["gc", "--dry-run", "--until", "1h"],
        ["report", "-o", "REPORT"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_look_at_a_store_holds_the_labels_of_all_its_images(
    labelled: Path, tmp_path: Path, words: list[str]
) -> None:
    page = str(tmp_path / "report.html")
    words = [page if word == "REPORT" else word for word in words]

    assert peak("--store", str(labelled / "store"), *words) < 90


@pytest.mark.parametrize(
    "filters", [["label=a"], ["label=a=1"], ["label=a="], ["label!=a=1"], ["label=a=12", "label=b"]]
)
def test_a_filter_says_the_same_of_as_much_of_the_labels_as_it_asks_for(filters: list[str]) -> None:
    parsed = parse_filters(filters, now=0, created_of=lambda _: 0)
    for value in ("", "1", "12", "123"):
        for labels in ([("a", value)], [("a", value), ("b", "x" * 100)], [("c", "1")]):
            whole = ImageFacts(sha256(b""), None, None, 0, tuple(labels))
            part = whole._replace(labels=wanted_labels(labels, parsed.label_room))

            assert parsed.accepts(part) == parsed.accepts(whole)
            assert sum(len(text) for _, text in part.labels) <= 6


@needs_proc
def test_a_load_of_a_long_chain_of_parents_takes_little(tmp_path: Path) -> None:
    steps = [{"created_by": "first"}, *({"created_by": "x", "empty_layer": True},) * 400]
    configs = [config_of(LAYER, history=steps[: at + 1]) for at in range(400)]
    images: list[dict[str, Any]] = [
        {"layers": [LAYER], "tags": [f"app:{at}"], "config": config,
         "parent": sha256(configs[at - 1]) if at else None}
        for at, config in enumerate(configs)
    ]  # fmt: skip
    (tmp_path / "archive.tar").write_bytes(docker_archive(*images))

    assert (
        peak("--store", str(tmp_path / "store"), "load", "-qi", str(tmp_path / "archive.tar")) < 40
    )


def test_all_labels_of_a_load_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {f"{number}": "v" * 10 for number in range(100)}
    images: list[dict[str, Any]] = [
        {"layers": [LAYER], "tags": [f"app:{image}"],
         "config": config_of(LAYER, author=str(image), config={"Labels": labels})}
        for image in range(10)
    ]  # fmt: skip
    archive = docker_archive(*images)
    with Store(tmp_path / "store") as store:
        monkeypatch.setattr(imagebatch, "MAX_LABELS", 10_000)
        with pytest.raises(Refused, match="labels of all images exceed the limit of 10000 bytes"):
            store.load(io.BytesIO(archive))
        assert store.images() == []
        monkeypatch.undo()
        assert len(store.load(io.BytesIO(archive)).images) == 10


def record(name: str, layers: list[bytes]) -> ImageRecord:
    own = sha256(name.encode())
    digests = [Digest.of_bytes(sha256(one).raw) for one in layers]  # not the same objects
    blobs = [BlobRecord(own, 1, "manifest", tuple(digests))]
    blobs += [BlobRecord(one, 1, "layer", ()) for one in digests]
    return ImageRecord(own, Descriptor("", own, 1), tuple(blobs), (), None, Labels(), "", "", "", 0)


def test_layers_that_images_have_in_common_are_kept_once() -> None:
    kept = ImageBatch()
    layers = [b"%d" % number for number in range(5)]

    one, two = (kept.image(record(name, layers)) for name in ("one", "two"))

    assert one == record("one", layers) and two == record("two", layers)
    assert all(a is b for a, b in zip(one.blobs[1:], two.blobs[1:], strict=True))
    for a, b, blob in zip(one.blobs[0].children, two.blobs[0].children, one.blobs[1:], strict=True):
        assert a is b is blob.digest


def test_labels_are_the_pairs_that_they_were_made_of() -> None:
    pairs = (("a\0b", ""), ("k", "v" * 5000), ("\u00e9", "\U0001f600"))
    labels = Labels(pairs)

    assert tuple(labels) == pairs and labels == pairs and labels == Labels(pairs)
    assert labels != Labels(pairs[:1])
    assert labels.size < 5100
    assert not Labels() and tuple(Labels()) == ()


STEP, EMPTY = HistoryEntry(1, "a", "", "", False), HistoryEntry(None, "b", "", "", True)  # noqa: FBT003
HISTORIES = [[], [STEP], [EMPTY], [STEP, EMPTY], [STEP, STEP], [STEP, EMPTY, EMPTY]]


@pytest.mark.parametrize("parent", HISTORIES)
@pytest.mark.parametrize("child", HISTORIES)
def test_the_print_of_a_history_follows_where_the_history_does(
    parent: list[HistoryEntry], child: list[HistoryEntry]
) -> None:
    follows = HistoryPrint.of(child).may_follow(HistoryPrint.of(parent))

    assert follows == is_child_history(parent, child)
