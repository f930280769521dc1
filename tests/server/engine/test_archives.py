"""Images saved, loaded and imported over the Engine API."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from casstore.errors import Refused
from casstore.model.digest import sha256
from casstore.server.engine.api import answer
from casstore.server.engine.options import EngineOptions
from casstore.server.message import BytesBody, Request
from casstore.store import Store
from tests.architecture.sources import ROOT
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory, Load

SAVED = ROOT / "fixtures" / "images" / "docker-save"


def manifest(archive: bytes) -> list[dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        document: list[dict[str, Any]] = json.load(file)
        return document


def rootfs(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_what_is_loaded_is_told_by_name(engine: Engine) -> None:
    reply = engine.post("/images/load?quiet=1", (SAVED / "commit.tar").read_bytes())

    assert reply.status == 200
    assert reply.headers.get("Content-Type") == "application/json"
    assert reply.lines == [
        {"stream": "Loaded image: shop/committed:1\n"},
        {"stream": "Loaded image: shop/imported:1\n"},
    ]


def test_what_is_loaded_without_a_name_is_told_by_id(engine: Engine) -> None:
    reply = engine.post("/images/load?quiet=1", (SAVED / "by-id.tar").read_bytes())

    (line,) = reply.lines
    (row,) = engine.get("/images/json")
    assert line == {"stream": f"Loaded image ID: {row['Id']}\n"}


def test_a_name_that_moves_is_told(engine: Engine, casstore_image_factory: ImageFactory) -> None:
    old = casstore_image_factory(files={"a": "1"}, tag="shop/imported:1")

    reply = engine.post("/images/load?quiet=1", (SAVED / "import.tar").read_bytes())

    assert reply.lines == [
        {
            "stream": "The image shop/imported:1 already exists, renaming the old one with ID"
            f" {old.id} to empty string\n"
        },
        {"stream": "Loaded image: shop/imported:1\n"},
    ]


def test_how_far_a_load_is_comes_before_its_end(engine: Engine) -> None:
    reply = engine.post("/images/load", (SAVED / "import.tar").read_bytes())

    first, *_, last = reply.lines
    assert first["status"] == "Loading layer"
    assert last == {"stream": "Loaded image: shop/imported:1\n"}
    counted = [line["progressDetail"] for line in reply.lines[:-1]]
    assert counted[-1]["current"] == counted[-1]["total"]


def test_each_line_is_a_piece_of_its_own(engine: Engine) -> None:
    reply = engine.post("/images/load", (SAVED / "import.tar").read_bytes())

    assert all(piece.endswith(b"\r\n") and piece.count(b"\n") == 1 for piece in reply.pieces)
    assert len(reply.pieces) > 1


@pytest.mark.parametrize("name", ["layer-missing.tar", "not-a-tar.tar", "cut-short.tar"])
def test_a_load_that_is_refused_says_so_in_the_stream(engine: Engine, name: str) -> None:
    reply = engine.post("/images/load", (SAVED.parent / "edited" / name).read_bytes())

    assert reply.status == 200
    last = reply.lines[-1]
    assert last["error"] == last["errorDetail"]["message"]
    assert engine.get("/images/json") == []


class CutBody(BytesBody):
    """A body whose rest does not come."""

    def read(self, size: int = -1, /) -> bytes:
        piece = super().read(size)
        if not piece:
            raise Refused("the body is cut off")
        return piece


def test_a_load_that_is_cut_off_leaves_nothing(engine: Engine) -> None:
    half = (SAVED / "import.tar").read_bytes()[:4096]

    reply = engine.call("POST", "/images/load", CutBody(half))

    assert reply.lines[-1]["error"] == "the body is cut off"
    assert engine.get("/images/json") == []


def test_an_archive_is_loaded_with_all_of_its_platforms_or_not(engine: Engine) -> None:
    platform = quote('{"os":"linux","architecture":"arm64"}')

    assert engine.refusal("POST", f"/images/load?platform={platform}")[0] == 501


def test_several_images_are_saved_to_one_archive(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    casstore_image_factory(files={"b": "1"}, tag="b:1")

    reply = engine.call("GET", "/images/get?names=a:1&names=b:1")

    assert reply.headers.get("Content-Type") == "application/x-tar"
    assert [entry["RepoTags"] for entry in manifest(reply.body)] == [["a:1"], ["b:1"]]


def test_an_image_that_is_named_by_its_id_is_saved_without_a_name(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="t/a:1")

    named = engine.call("GET", "/images/t/a:1/get").body
    by_id = engine.call("GET", f"/images/{image.id}/get").body

    assert [entry["RepoTags"] for entry in manifest(named)] == [["t/a:1"]]
    assert [entry["RepoTags"] for entry in manifest(by_id)] == [None]


def test_what_is_saved_can_be_loaded(engine: Engine, casstore_image_factory: ImageFactory) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    archive = engine.call("GET", "/images/a:1/get").body
    engine.call("DELETE", "/images/a:1")

    engine.post("/images/load", archive)

    assert engine.get("/images/a:1/json")["Id"] == image.id


@pytest.mark.parametrize("target", ["/images/nosuch/get", "/images/get?names=a:1&names=nosuch"])
def test_what_is_not_there_is_not_saved(
    engine: Engine, casstore_image_factory: ImageFactory, target: str
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")

    assert engine.refusal("GET", target) == (404, "No such image: nosuch:latest")


def test_names_are_needed_to_save(engine: Engine) -> None:
    assert engine.refusal("GET", "/images/get") == (400, "no image given")


def test_one_platform_of_an_index_is_saved(engine: Engine, casstore_load: Load) -> None:
    (image,) = casstore_load("fixtures/images/podman/index-oci")
    platform = quote('{"os":"linux","architecture":"amd64"}')

    (entry,) = manifest(engine.call("GET", f"/images/{image.id}/get?platform={platform}").body)

    assert entry["Config"]


def test_a_file_system_becomes_an_image(engine: Engine, casstore_store: Store) -> None:
    target = "/images/create?fromSrc=-&repo=z&tag=1&message=hello&changes=CMD+%5B%22a%22%5D"

    reply = engine.post(f"{target}&changes=ENV+A%3D1", rootfs(motd=b"hi"))

    (line,) = reply.lines
    shown = engine.get("/images/z:1/json")
    assert line == {"status": shown["Id"]}
    assert (shown["Config"]["Cmd"], shown["Config"]["Env"]) == (["a"], ["A=1"])
    assert shown["Comment"] == "hello"


def test_a_file_system_needs_no_name(engine: Engine) -> None:
    reply = engine.post("/images/create?fromSrc=-", rootfs(motd=b"hi"))

    (row,) = engine.get("/images/json")
    assert (row["Id"], row["RepoTags"]) == (reply.lines[0]["status"], [])


def test_an_import_has_the_platform_that_is_asked_for(engine: Engine) -> None:
    engine.post("/images/create?fromSrc=-&repo=z&platform=linux/arm64", rootfs(motd=b"hi"))

    assert engine.get("/images/z/json")["Architecture"] == "arm64"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("fromSrc=-&changes=run+x", 400),
        ("fromSrc=-&repo=Bad", 400),
        ("fromSrc=-&platform=foobar", 400),
        ("fromSrc=http://localhost/x.tar", 501),
        ("", 400),
    ],
)
def test_an_import_that_cannot_be_made_is_refused(engine: Engine, query: str, status: int) -> None:
    assert engine.refusal("POST", f"/images/create?{query}", rootfs(a=b"1"))[0] == status


def test_what_is_no_file_system_is_refused(engine: Engine) -> None:
    assert engine.refusal("POST", "/images/create?fromSrc=-", b"x" * 4096)[0] == 400


def test_a_client_that_goes_ends_a_save(
    casstore_store: Store, casstore_image_factory: ImageFactory, tmp_path: Path
) -> None:
    content = b"".join(sha256(str(number).encode()).raw for number in range(100_000))
    casstore_image_factory(files={"a": content}, tag="a:1")
    request = Request("GET", "/images/a:1/get")
    response = answer(request, casstore_store, EngineOptions())
    assert response.body is not None
    pieces = iter(response.body)  # type: ignore[arg-type]  # an iterable, as the status says
    next(pieces)

    response.close()

    assert has_no_lease_soon(casstore_store)


def has_no_lease_soon(store: Store) -> bool:
    """Whether the lease of the save ends, as it does when the thread has noticed."""
    for _ in range(500):
        if not store.leases.list():
            return True
        time.sleep(0.01)
    return False
