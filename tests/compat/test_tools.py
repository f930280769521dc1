"""What other tools read of a store, with no export step, and of what casstore saves."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.errors import Refused
from casstore.model.digest import sha256
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.compat.programs import ended, podman, run
from tests.transfer.building import Layout, config_of, docker_archive, layer

LAYERS = [layer("base"), layer("top")]
CONFIG = config_of(*LAYERS, config={"Cmd": ["/bin/sh"]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    archive = docker_archive({"layers": LAYERS, "config": CONFIG, "tags": ["app:1", "b/app:2"]})
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(archive))
        yield store


def test_skopeo_inspects_a_store(store: Store) -> None:
    seen = json.loads(run("skopeo", "inspect", f"oci:{store.path}:app:1"))

    assert len(seen["Layers"]) == 2


@pytest.mark.parametrize("kind", ["oci", "docker-archive"])
def test_skopeo_copies_out_of_a_store_and_we_load_the_same_image(
    store: Store, tmp_path: Path, kind: str
) -> None:
    if kind == "docker-archive":  # skopeo does not turn zstd layers into Docker's
        store.remove(["app:1", "b/app:2"])
        archive = docker_archive({"layers": LAYERS, "config": CONFIG, "tags": ["app:1"]})
        store.load(io.BytesIO(archive), compression="gzip")
    out = tmp_path / "out"
    run("skopeo", "--insecure-policy", "copy", f"oci:{store.path}:app:1", f"{kind}:{out}:app:1")

    with Store(str(tmp_path / "second")) as second:
        assert second.load(str(out)).images[0].id == store.get("app:1").id


def test_skopeo_reads_a_docker_archive_that_we_saved(store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "saved.tar"
    store.save(["app:1"], str(archive))
    run("skopeo", "--insecure-policy", "copy", f"docker-archive:{archive}", f"oci:{tmp_path}/o:x")

    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{tmp_path}/o:x"))
    assert config["rootfs"] == json.loads(CONFIG)["rootfs"]


def test_skopeo_finds_a_store_valid_after_a_removal(store: Store) -> None:
    store.remove(["b/app:2"])

    assert run("skopeo", "inspect", f"oci:{store.path}:app:1")


def test_umoci_lists_the_names_of_a_store(store: Store) -> None:
    assert set(run("umoci", "ls", "--layout", store.path).split()) >= {"app:1", "b/app:2"}


def test_umoci_unpacks_an_image_with_gzip_layers(tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("content"), "one:1", **{"io.containerd.image.name": "one:1"})
    with Store(str(tmp_path / "store")) as store:
        store.load(layout.write(str(tmp_path / "layout")))
        bundle = tmp_path / "bundle"
        run("umoci", "unpack", "--rootless", "--image", f"{store.path}:one:1", bundle)

    assert (bundle / "rootfs" / "file").read_text() == "content"


def test_zstd_finds_our_layers_whole(store: Store) -> None:
    for digest in store.get("app:1").layers:
        run("zstd", "-q", "-t", "--no-progress", directory_of(store).blobs.path(digest))


def test_podman_loads_a_docker_archive_that_we_saved(store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "saved.tar"
    store.save(["app:1"], str(archive))

    with podman() as theirs:
        theirs("load", "-q", "-i", archive)
        listed = theirs("images", "--no-trunc", "--format", "{{.ID}} {{.Tag}}")

    assert listed.split() == [str(store.get("app:1").id), "1"]


@pytest.mark.parametrize("format", ["docker", "oci"])
def test_podman_refuses_a_thin_archive_and_loads_nothing_of_it(
    store: Store, tmp_path: Path, format: str
) -> None:
    base = docker_archive({"layers": LAYERS[:1], "tags": ["base:1"]})
    store.load(io.BytesIO(base))
    store.save(["app:1"], tmp_path / "thin.tar", format=format, exclude_base=["base:1"])
    with podman() as theirs:
        done = theirs.ended("load", "-q", "-i", tmp_path / "thin.tar")
        listed = theirs("images", "-a", "-q")

    assert done.returncode != 0
    missing = store.session.view().layer_with_diff_id(sha256(LAYERS[0]))
    assert missing is not None
    words = {"docker": "Some layer tarfiles are missing", "oci": missing.digest.hex}
    assert words[format] in done.stderr
    assert listed == ""


# skopeo's dir:, both ways

FIXTURES = Path(__file__).parents[2] / "fixtures" / "images"


def skopeo_copy(*words: str) -> None:
    run("skopeo", "--insecure-policy", "copy", *words)


def files_in(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize(
    "options",
    [
        (),  # plain layers under the media type of gzip
        ("--dest-compress",),
        ("--dest-compress", "--dest-compress-format", "zstd", "--format", "oci"),
        ("--format", "oci"),
        ("--format", "v2s2", "--dest-compress"),
    ],
)
def test_we_load_a_directory_of_skopeos_and_write_it_as_it_was(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(docker_archive({"layers": LAYERS, "config": CONFIG, "tags": ["app:1"]}))
    skopeo_copy(*options, f"docker-archive:{archive}", f"dir:{tmp_path}/theirs")

    with Store(str(tmp_path / "store")) as store:
        (image,) = store.load(str(tmp_path / "theirs")).images
        store.save([image.id], str(tmp_path / "ours"), format="dir")
        store.save([image.id], str(tmp_path / "back.tar"))
        assert (image.names, store.check().findings) == ((), ())

    assert files_in(tmp_path / "ours") == files_in(tmp_path / "theirs")
    with tarfile.open(tmp_path / "back.tar") as tar:
        members = [tar.extractfile(name) for name in tar.getnames() if name.endswith(".tar")]
        assert [file.read() for file in members if file is not None] == LAYERS


def test_we_load_all_platforms_of_a_directory_of_skopeos_and_write_them_as_they_were(
    tmp_path: Path,
) -> None:
    skopeo_copy("--all", f"oci:{FIXTURES}/podman/index-oci", f"dir:{tmp_path}/theirs")

    with Store(str(tmp_path / "store")) as store:
        (image,) = store.load(str(tmp_path / "theirs")).images
        assert len(store.platforms(image.id)) == 2
        store.save([image.id], str(tmp_path / "ours"), format="dir")

    assert files_in(tmp_path / "ours") == files_in(tmp_path / "theirs")


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_skopeo_reads_a_directory_that_we_wrote(compression: str, tmp_path: Path) -> None:
    archive = docker_archive({"layers": LAYERS, "config": CONFIG, "tags": ["app:1"]})
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(archive), compression=compression)
        store.save(["app:1"], str(tmp_path / "ours"), format="dir")
        manifest, image = store.get("app:1").manifests[0], store.get("app:1").id

    seen = json.loads(run("skopeo", "inspect", f"dir:{tmp_path}/ours"))
    assert (seen["Digest"], len(seen["Layers"])) == (manifest, 2)
    skopeo_copy(f"dir:{tmp_path}/ours", f"oci-archive:{tmp_path}/a.tar")
    with Store(str(tmp_path / "second")) as second:
        second.load(str(tmp_path / "a.tar"))
        assert second.get(image).manifests == (manifest,) or compression == "none"


def test_skopeo_reads_all_platforms_of_a_directory_that_we_wrote(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        (image,) = store.load(str(FIXTURES / "podman" / "index-oci")).images
        store.save([image.id], str(tmp_path / "ours"), format="dir")

    skopeo_copy("--all", f"dir:{tmp_path}/ours", f"oci-archive:{tmp_path}/a.tar")
    with Store(str(tmp_path / "second")) as second:
        (again,) = second.load(str(tmp_path / "a.tar")).images
        assert again.id == image.id and len(second.platforms(again.id)) == 2


def test_skopeo_writes_over_a_directory_that_we_wrote_and_the_store_stays_whole(
    store: Store, tmp_path: Path
) -> None:
    store.save(["app:1"], str(tmp_path / "ours"), format="dir")

    skopeo_copy(f"oci:{FIXTURES}/skopeo/oci-gzip", f"dir:{tmp_path}/ours")

    with Store(str(tmp_path / "second")) as second:
        (image,) = second.load(str(tmp_path / "ours")).images
        assert image.id != store.get("app:1").id
    assert store.check().findings == ()


def test_an_index_alone_as_skopeo_copies_it_is_refused(tmp_path: Path) -> None:
    skopeo_copy(
        "--multi-arch", "index-only", f"oci:{FIXTURES}/podman/index-oci", f"dir:{tmp_path}/theirs"
    )

    with Store(str(tmp_path / "store")) as store, pytest.raises(Refused, match="none of its mani"):
        store.load(str(tmp_path / "theirs"))


def test_skopeo_will_not_drop_a_signature_and_we_say_which_stays_behind(tmp_path: Path) -> None:
    signed = tmp_path / "signed"
    shutil.copytree(FIXTURES / "signed" / "simple-signing", signed)
    refused = ended("skopeo", "--insecure-policy", "copy", f"dir:{signed}", f"oci:{tmp_path}/o")
    assert refused.returncode != 0 and "signature" in refused.stderr

    with Store(str(tmp_path / "store")) as store:
        result = store.load(str(signed))
    assert result.images and len(result.warnings) == 1 and "signature-1" in result.warnings[0]
