"""How large a layer may be that comes in, and that what came in is read however large it is."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path

import pytest

from casstore.cli.main import main
from casstore.errors import Refused
from casstore.store import Store
from casstore.transfer import outputlimit
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    Layout,
    config_of,
    docker_archive,
    tar_of,
)

ZEROS = tar_of({"var/log/lastlog": bytes(4 << 20)})
REFUSAL = "the uncompressed data exceeds the limit of 1048576 bytes, which --max-layer-size raises"


def layout() -> Layout:
    made = Layout()
    config = made.blob(config_of(ZEROS), OCI_CONFIG)
    layer = made.blob(gzip.compress(ZEROS, mtime=0), OCI_LAYER + "+gzip")
    made.publish(made.manifest(config, [layer]), "zeros:1")
    return made


ARCHIVES = {
    "an OCI archive": layout().tar().getvalue(),
    "an OCI archive in gzip": gzip.compress(layout().tar().getvalue()),
    "a docker archive in gzip": gzip.compress(
        docker_archive({"layers": [ZEROS], "config": config_of(ZEROS), "tags": ["zeros:1"]})
    ),
    "a docker archive of gzip layers": docker_archive(
        {"layers": [gzip.compress(ZEROS)], "config": config_of(ZEROS), "tags": ["zeros:1"]}
    ),
}
each_archive = pytest.mark.parametrize("archive", ARCHIVES.values(), ids=ARCHIVES)


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputlimit, "ALWAYS_ALLOWED", 1 << 20)
    monkeypatch.delenv("CASSTORE_MAX_LAYER_SIZE", raising=False)


@each_archive
def test_a_layer_over_the_limit_is_refused_with_the_option_that_raises_it(
    archive: bytes, tmp_path: Path
) -> None:
    with Store(tmp_path / "store") as store:
        with pytest.raises(Refused, match=f"{REFUSAL}$"):
            store.load(io.BytesIO(archive))
        assert store.images() == []


@each_archive
def test_a_layer_of_the_size_that_is_allowed_comes_in(archive: bytes, tmp_path: Path) -> None:
    with Store(tmp_path / "store", max_layer_size=len(ZEROS)) as store:
        (image,) = store.load(io.BytesIO(archive)).images
        assert [name.familiar for name in image.names] == ["zeros:1"]


def test_a_layer_of_one_byte_more_than_allowed_is_refused(tmp_path: Path) -> None:
    plain = docker_archive({"layers": [ZEROS], "tags": ["zeros:1"]})
    for archive in (ARCHIVES["an OCI archive"], plain):
        with (
            Store(tmp_path / "store", max_layer_size=len(ZEROS) - 1) as store,
            pytest.raises(Refused, match=f"exceeds the limit of {len(ZEROS) - 1} bytes"),
        ):
            store.load(io.BytesIO(archive))


def test_an_imported_root_file_system_has_the_limit_of_a_layer(tmp_path: Path) -> None:
    packed = gzip.compress(ZEROS)
    with Store(tmp_path / "store") as store:
        with pytest.raises(Refused, match=REFUSAL):
            store.import_image(io.BytesIO(packed), "zeros:1")
        store.max_layer_size = len(ZEROS)
        store.import_image(io.BytesIO(packed), "zeros:1")


def test_what_the_store_has_is_read_however_large_it_is(tmp_path: Path) -> None:
    """Saved, checked, and made again from the blobs alone, by whoever knows nothing of a limit."""
    path = tmp_path / "store"
    with Store(path, max_layer_size=len(ZEROS)) as store:
        store.load(io.BytesIO(ARCHIVES["an OCI archive"]))
    with Store(path) as store:
        store.save(["zeros:1"], tmp_path / "saved.tar")
        assert store.check().clean
        (layer,) = store.get("zeros:1").layers
        with store.open_layer(layer) as stream:
            assert stream.read() == ZEROS
    (path / "casstore.db").unlink()
    with Store(path) as store:
        store.tag("zeros:1", "zeros:2")
        assert store.check().clean
        assert {name.familiar for name in store.images()[0].names} == {"zeros:1", "zeros:2"}


def test_what_another_tool_put_into_the_store_is_taken_in_however_large_it_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store"
    layout().write(str(path))
    with Store(path) as store:
        store.tag("zeros:1", "zeros:2")
        assert store.check().clean


def test_a_damaged_blob_is_repaired_from_an_archive_however_large_it_is(tmp_path: Path) -> None:
    path, archive = tmp_path / "store", tmp_path / "zeros.tar.gz"
    archive.write_bytes(ARCHIVES["a docker archive in gzip"])
    with Store(path, max_layer_size=len(ZEROS)) as store:
        store.load(archive)
    with Store(path) as store:
        (layer,) = store.get("zeros:1").layers
        (path / "blobs" / "sha256" / layer.hex).unlink()
        store.check(repair=True, repair_from=[str(archive)])
        assert store.check().clean


@pytest.mark.parametrize("words", [["load", "-i"], ["import"], ["copy"]], ids=lambda w: w[0])
def test_the_option_and_the_variable_allow_a_larger_layer(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "source"
    layout().write(str(source))
    if words[0] == "import":
        source = tmp_path / "rootfs.tgz"
        source.write_bytes(gzip.compress(ZEROS))
    path = tmp_path / "store"
    after = {"load": [], "import": ["a:1"], "copy": ["a:1"]}[words[0]]
    named = f"oci:{source}" if words[0] == "copy" else f"{source}"

    def run(*options: str) -> int:
        shutil.rmtree(path, ignore_errors=True)
        return main(["--store", str(path), words[0], *options, *words[1:], named, *after])

    assert run() == 1
    number = 1 if words[0] == "import" else 0
    assert capsys.readouterr().err == f"Error: layer {number}: {REFUSAL}\n"
    assert run("--max-layer-size", "5MiB") == 0
    monkeypatch.setenv("CASSTORE_MAX_LAYER_SIZE", "5MiB")
    assert run() == 0
    assert run("--max-layer-size", "2MB") == 1


@pytest.mark.parametrize("command", ["load", "import", "pull", "copy"])
def test_a_size_that_is_none_is_wrong_usage(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"load": ["x"], "pull": ["x"]}.get(command, ["x", "y"])
    assert main([command, "--max-layer-size", "much", *arguments]) == 2
    assert 'invalid argument "much" for "--max-layer-size" flag' in capsys.readouterr().err
    monkeypatch.setenv("CASSTORE_MAX_LAYER_SIZE", "more")
    assert main([command, *arguments]) == 2
    assert 'invalid value "more" of $CASSTORE_MAX_LAYER_SIZE' in capsys.readouterr().err
