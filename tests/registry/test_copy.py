"""copy: every place to every other, with the digest that it had."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore.errors import NotFound, Refused, UsageError, quote
from casstore.model.digest import Digest
from casstore.store import Store
from casstore.transfer.place import Place, parse_place
from tests.compat.programs import run
from tests.registry.conftest import NewStore, filled
from tests.registry.servers import Proxy, RealRegistry, Reply, Request
from tests.registry.test_pull_and_push import FIXTURES, three_platforms
from tests.sessions.commandline import casstore
from tests.transfer.building import Layout


@pytest.fixture
def image(store: Store, tmp_path: Path) -> Digest:
    """An image of the store, called app:1; its manifest's digest."""
    layout = Layout()
    digest = layout.publish(layout.image("x", "y"), "app:1")
    filled(store, layout, tmp_path)
    return digest


def copied(store: Store, *words: str) -> str:
    result = casstore(store.path, ["copy", *words])
    assert result.status == 0, result.err
    return result.out.strip()


PLACES = ["docker://{host}/copy/{n}:1", "oci:{dir}/oci{n}:ref", "oci-archive:{dir}/a{n}.tar:ref"]


@pytest.mark.parametrize("way", list(itertools.product(PLACES, PLACES)))
def test_an_image_keeps_its_digest_from_place_to_place(
    way: tuple[str, str], registry: RealRegistry, new_store: NewStore, store: Store, image: Digest
) -> None:
    folder = Path(store.path).parent
    one, two = (
        place.format(host=registry.host, dir=folder, n=number) for number, place in enumerate(way)
    )
    other = new_store()
    assert copied(store, "app:1", one) == image
    assert copied(other, one, two) == image
    assert not other.session.backend.exists()
    assert copied(other, two, "mine:2") == image

    assert [name.familiar for name in other.get("mine:2").names] == ["mine:2"]
    assert other.get("mine:2").manifests == (image,)


def test_a_docker_archive_keeps_the_image_id(
    store: Store, new_store: NewStore, image: Digest, tmp_path: Path
) -> None:
    other, archive = new_store(), f"docker-archive:{tmp_path}/out.tar:shop/app:3"
    copied(store, "casstore:app:1", archive)
    copied(other, archive, "mine:1")

    assert other.get("mine:1").id == store.get("app:1").id


@pytest.mark.parametrize("other", ["oci:{dir}/oci", "oci-archive:{dir}/oci.tar", "dir:{dir}/more"])
def test_an_image_keeps_its_digest_in_a_directory_of_files(
    other: str, store: Store, new_store: NewStore, image: Digest, tmp_path: Path
) -> None:
    files, place = f"dir:{tmp_path}/a:b", other.format(dir=tmp_path)

    assert copied(store, "app:1", files) == image
    assert copied(store, files, place) == image
    assert copied(new_store(), place, "mine:1") == image

    assert set(os.listdir(tmp_path / "a:b")) > {"manifest.json", "version"}


def test_one_platform_is_chosen_of_a_directory_of_files(
    store: Store, new_store: NewStore, tmp_path: Path
) -> None:
    layout = Layout()
    digest = layout.publish(three_platforms(layout), "multi:1")
    filled(store, layout, tmp_path)
    files = f"dir:{tmp_path}/files"
    assert copied(store, "--all", "multi:1", files) == digest
    assert copied(new_store(), "--all", files, "whole:1") == digest

    arm = copied(new_store(), "--platform", "linux/arm64", files, f"dir:{tmp_path}/arm")
    assert arm == copied(store, "--platform", "linux/arm64", "multi:1", "arm:1")


def test_a_directory_of_files_is_not_copied_onto_itself(
    store: Store, image: Digest, tmp_path: Path
) -> None:
    out = f"dir:{tmp_path}/out"
    copied(store, "app:1", out)

    assert casstore(store.path, ["copy", out, f"dir:{tmp_path}/./out"]).status == 2


def test_a_copy_tells_which_signatures_stay_behind(store: Store) -> None:
    where = FIXTURES / "signed" / "cosign-dir"
    result = casstore(store.path, ["copy", f"dir:{where}", "mine:1"])

    assert result.status == 0
    assert result.err == (
        f"Warning: signatures that are files of {quote(where)} do not come in: "
        "signature-1, signature-2\n"
    )


def test_skopeo_reads_what_we_copied_under_the_name_that_we_gave(
    store: Store, image: Digest, tmp_path: Path
) -> None:
    copied(store, "app:1", f"oci:{tmp_path}/out:v1.0")

    seen = json.loads(run("skopeo", "inspect", f"oci:{tmp_path}/out:v1.0"))
    assert seen["Digest"] == image


def test_an_index_is_copied_whole_or_for_one_platform(
    registry: RealRegistry, store: Store, new_store: NewStore, tmp_path: Path
) -> None:
    layout = Layout()
    digest = layout.publish(three_platforms(layout), "multi:1")
    filled(store, layout, tmp_path)
    path, there = tmp_path / "layout", f"docker://{registry.host}/copy/multi:1"
    assert copied(store, "--all", "multi:1", there) == digest
    other = new_store()
    assert copied(other, "--all", there, "whole:1") == digest
    arm = copied(other, "--platform", "linux/arm64", there, "arm:1")
    assert copied(store, "--platform", "linux/arm64", "multi:1", f"oci:{tmp_path}/arm") == arm
    assert copied(store, "--platform", "linux/arm64", "multi:1", "arm:1") == arm
    assert copied(new_store(), "--platform", "linux/arm64", f"oci:{path}", "a") == arm

    assert other.inspect("arm:1")["Architecture"] == "arm64"
    assert len(other.platforms("whole:1")) == 3


def test_of_several_images_one_has_to_be_named(store: Store) -> None:
    source = FIXTURES / "skopeo" / "several-refs"
    with pytest.raises(Refused, match="has several images"):
        store.copy_in(Place("oci", str(source), ""), "mine:1")
    with pytest.raises(NotFound, match="has no image"):
        store.copy_in(Place("oci", str(source), "nosuch"), "mine:1")

    assert store.images(all=True) == []


def test_what_is_not_copied_does_not_stay(store: Store, tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("wanted"), "app:1")
    layout.publish(layout.image("not wanted"), "app:2")
    store.copy_in(Place("oci", layout.write(str(tmp_path / "layout")), "1"), "mine:1")

    usage = store.df()
    assert (usage.images, usage.orphans) == (1, 0)


def test_nothing_is_written_over(store: Store, image: Digest, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    result = casstore(store.path, ["copy", "app:1", f"oci:{tmp_path}/full"])

    assert result.status == 1
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("busybox", Place("casstore", "busybox", "")),
        ("busybox:1", Place("casstore", "busybox:1", "")),
        ("casstore:busybox:1", Place("casstore", "busybox:1", "")),
        ("docker://busybox", Place("docker", "busybox", "")),
        ("oci:a/b", Place("oci", "a/b", "")),
        ("oci:a/b:host:5000/x:1", Place("oci", "a/b", "host:5000/x:1")),
        ("oci-archive:x.tar:1", Place("oci-archive", "x.tar", "1")),
        ("docker-archive:x.tar", Place("docker-archive", "x.tar", "")),
        ("dir:a/b:1", Place("dir", "a/b:1", "")),
        ("localhost:5000/x", Place("casstore", "localhost:5000/x", "")),
    ],
)
def test_places_are_written_as_for_skopeo(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["docker:x", "oci:", "dir:", "sif:/x", "docker-daemon:x:1", ""])
def test_a_place_that_is_none_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError):
        parse_place(text)


def test_a_copy_tells_what_could_not_be_asked(
    store: Store,
    image: Digest,
    registry: RealRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here a helper program that is not installed."""
    auth = tmp_path / "auth.json"
    auth.write_text('{"credsStore": "gone"}')
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(auth))
    upstream = Proxy(registry.host)

    def tokens(request: Request, ask: Callable[[], Reply]) -> Reply | None:
        if request.path.startswith("/token"):
            return Reply(200, {}, b'{"token": "anonymous"}')
        if "authorization" not in request.headers:
            told = f'Bearer realm="http://{upstream.host}/token"'
            return Reply(401, {"WWW-Authenticate": told}, b"{}")
        return None

    upstream.rule(tokens)
    result = casstore(store.path, ["copy", "app:1", f"docker://{upstream.host}/told/app:1"])
    upstream.stop()

    assert (result.status, result.out.strip()) == (0, image)
    assert "docker-credential-gone is not installed" in result.err
