from __future__ import annotations

import io
import os

import pytest

from casstore.errors import Refused, StorageError
from casstore.model.digest import sha256
from casstore.model.record import Arrival
from casstore.transfer.compress import DEFAULT
from casstore.transfer.source import read_images
from tests.transfer.building import config_of, docker_archive, layer, tar_of
from tests.transfer.intake import FakeIntake

BASE = layer("base")
STEP = {"created_by": "x", "empty_layer": True}


def load(*images: dict[str, object]) -> list[Arrival]:
    return read_images(io.BytesIO(docker_archive(*images)), FakeIntake(), compression=DEFAULT)


def image(*, steps: int, author: str = "", parent: bytes | None = None) -> dict[str, object]:
    history = [{"created_by": "base"}] + [STEP] * (steps - 1) if steps else []
    value: dict[str, object] = {
        "layers": [BASE],
        "config": config_of(BASE, history=history, author=author),
    }
    if parent is not None:
        value["parent"] = sha256(parent)
    return value


def config(of: dict[str, object]) -> bytes:
    data = of["config"]
    assert isinstance(data, bytes)
    return data


def test_a_parent_with_one_step_less_is_legal_and_may_come_later() -> None:
    base = image(steps=1)
    child, _ = load(image(steps=2, parent=config(base)), base)

    assert child.parent == sha256(config(base))


def test_a_parent_of_another_history_is_refused_in_dockers_words() -> None:
    base = image(steps=1)
    child = image(steps=3, parent=config(base))

    with pytest.raises(Refused) as caught:
        load(base, child)

    p, c = sha256(config(base)), sha256(config(child))
    assert str(caught.value) == f"image {p} is not a valid parent for {c}"


def test_parents_that_make_a_ring_are_refused() -> None:
    one, two, three = (image(steps=0, author=name) for name in "123")
    for child, parent in ((one, two), (two, three), (three, one)):
        child["parent"] = sha256(config(parent))

    with pytest.raises(Refused, match="is not a valid parent for"):
        load(one, two, three)


def test_a_long_chain_of_parents_is_legal() -> None:
    images = [image(steps=1)]
    for steps in range(2, 200):
        images.append(image(steps=steps, parent=config(images[-1])))

    assert load(*reversed(images))[-1].parent is None


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"etc/passwd": b""}, "holds no images"),
        ({"index.json": b"{}"}, "no oci-layout file"),
        ({"oci-layout": b"{}"}, "no index.json"),
        ({"manifest.json": b'{"schemaVersion":2}', "version": b"1.1"}, 'version of .* is "1.1"'),
    ],
)
def test_what_is_no_archive_of_images_is_refused_in_one_line(
    files: dict[str, bytes], says: str, tmp_path: object
) -> None:
    root = os.path.join(str(tmp_path), "x")
    for name, content in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        with open(os.path.join(root, name), "wb") as file:
            file.write(content)

    for where in (io.BytesIO(tar_of(files)), root):
        with pytest.raises(Refused, match=says):
            read_images(where, FakeIntake(), compression=DEFAULT)


def test_what_the_operating_system_refuses_is_a_storage_error() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    source = Failing(docker_archive({"layers": [BASE]}))

    with pytest.raises(StorageError, match=r"^input/output error$"):
        read_images(source, FakeIntake(), compression=DEFAULT)
