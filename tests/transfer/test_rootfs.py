from __future__ import annotations

import bz2
import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model.digest import sha256
from casstore.model.imageconfig import is_child_history, parse_config
from casstore.model.platform import Platform
from casstore.model.record import ImageRecord
from casstore.transfer.compress import DEFAULT, Compression
from casstore.transfer.openlayer import open_layer
from casstore.transfer.rootfs import ParentImage, import_rootfs
from tests.transfer.building import tar_of
from tests.transfer.memoryintake import MemoryIntake
from tests.transfer.noise import noise

ROOT = tar_of({"bin/tool": b"tool", "etc/motd": b"hello\n"})
NOON = 1_386_763_200_000_000_000 + 123_450_000  # 2013-12-11T12:00:00.12345Z
HERE = Platform("linux", "arm64", "v8")


def imported(
    intake: MemoryIntake,
    data: bytes = ROOT,
    *changes: str,
    message: str | None = None,
    parent: ParentImage | None = None,
    compression: Compression = DEFAULT,
) -> ImageRecord:
    return import_rootfs(
        io.BytesIO(data),
        intake,
        compression=compression,
        changes=changes,
        message=message,
        created=NOON,
        platform=HERE,
        parent=parent,
    )


def config_of(intake: MemoryIntake, image: ImageRecord) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(intake.blobs[image.id])
    return value


def as_parent(intake: MemoryIntake, image: ImageRecord) -> ParentImage:
    return ParentImage(config_of(intake, image), image.layers)


def test_an_image_of_one_layer_has_the_config_that_docker_import_writes() -> None:
    intake = MemoryIntake()

    image = imported(intake, ROOT, "ENV A=b", 'CMD ["/bin/tool"]', message="note")

    assert config_of(intake, image) == {
        "architecture": "arm64",
        "comment": "note",
        "config": {"Cmd": ["/bin/tool"], "Env": ["A=b"]},
        "created": "2013-12-11T12:00:00.12345Z",
        "history": [{"comment": "note", "created": "2013-12-11T12:00:00.12345Z"}],
        "os": "linux",
        "rootfs": {"diff_ids": [sha256(ROOT)], "type": "layers"},
        "variant": "v8",
    }


@pytest.mark.parametrize("message", [None, ""])
def test_without_a_message_the_comment_is_dockerd_s(message: str | None) -> None:
    intake = MemoryIntake()

    config = config_of(intake, imported(intake, message=message))

    assert config["comment"] == config["history"][0]["comment"] == "Imported from -"


def test_the_same_import_gives_the_same_image() -> None:
    assert imported(MemoryIntake()) == imported(MemoryIntake())


@pytest.mark.parametrize("wrap", [gzip.compress, bz2.compress])
def test_a_compressed_root_is_the_same_image(wrap: Callable[[bytes], bytes]) -> None:
    assert imported(MemoryIntake(), wrap(ROOT)) == imported(MemoryIntake())


def test_the_layer_opens_as_the_tar_that_came() -> None:
    intake = MemoryIntake()
    root = tar_of({"large": noise(3 << 20)})

    (layer,) = imported(intake, root).layers

    with open_layer(intake.open(layer.digest), layer) as tar:
        assert tar.read() == root
    assert layer.file_bytes == 3 << 20


def test_an_image_on_a_parent_has_its_layers_and_history_and_one_more() -> None:
    intake = MemoryIntake()
    below = imported(intake, ROOT, "ENV A=1", "LABEL l=p")
    more = tar_of({"more": b"more"})

    image = imported(intake, more, "ENV B=$A", parent=as_parent(intake, below))

    config = config_of(intake, image)
    parent, child = (parse_config(intake.blobs[x.id]) for x in (below, image))
    assert config["rootfs"]["diff_ids"] == [sha256(ROOT), sha256(more)]
    assert config["config"]["Env"] == ["A=1", "B=1"]
    assert image.layers[0] == below.layers[0]
    assert image.labels == (("l", "p"),)
    assert is_child_history(parent.history, child.history)


def test_a_parent_s_platform_is_kept_and_what_tells_of_its_build_is_not() -> None:
    intake = MemoryIntake()
    below = imported(intake)
    document = {
        **config_of(intake, below), "architecture": "s390x", "os.version": "1", "container": "c",
        "container_config": {}, "docker_version": "20", "variant": "",
    }  # fmt: skip

    config = config_of(intake, imported(intake, parent=ParentImage(document, below.layers)))

    assert config["architecture"] == "s390x"
    assert config["os.version"] == "1"
    assert config["variant"] == ""
    assert not {"container", "container_config", "docker_version"} & config.keys()


def test_a_wrong_change_is_refused_before_anything_is_read() -> None:
    intake = MemoryIntake()
    source = io.BytesIO(ROOT)

    with pytest.raises(Refused, match="foo is not a valid change command"):
        import_rootfs(
            source, intake, compression=DEFAULT, changes=["FOO"], message=None, created=NOON,
            platform=HERE, parent=None,
        )  # fmt: skip

    assert source.tell() == 0
    assert not intake.blobs


@pytest.mark.parametrize(
    "data",
    [b"hello there\n", noise(3000), ROOT[:300], ROOT[:515], ROOT[:512] + noise(4096)],
    ids=["text", "noise", "half a header", "a cut file", "noise behind a header"],
)
def test_what_is_no_tar_or_not_all_of_one_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="not a tar archive"):
        imported(MemoryIntake(), data)


@pytest.mark.parametrize(
    "data", [b"", bytes(1024), ROOT.rstrip(b"\0") + bytes(700), ROOT + b"junk"],
    ids=["nothing", "an end", "one block of zeros", "something behind the end"],
)  # fmt: skip
def test_what_docker_takes_for_a_tar_is_one(data: bytes) -> None:
    data += bytes(-len(data) % 512) if not data.endswith(b"junk") else b""

    assert imported(MemoryIntake(), data).layers[0].diff_id == sha256(data)


def test_compressed_data_cut_short_is_refused() -> None:
    with pytest.raises(Refused, match="truncated or corrupt gzip data"):
        imported(MemoryIntake(), gzip.compress(noise(5000))[:-9])
