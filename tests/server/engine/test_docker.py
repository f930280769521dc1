"""The docker CLI on the store, through the socket; skipped where it is not installed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from casstore.store import Store
from tests.architecture.sources import ROOT
from tests.registry.servers import RealRegistry

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory

COMMIT = ROOT / "fixtures" / "images" / "docker-save" / "commit.tar"

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")

Docker = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def docker(casstore_docker_host: str, tmp_path: Path) -> Iterator[Docker]:
    """Runs docker; what it prints."""
    (tmp_path / "docker").mkdir()
    surroundings = os.environ | {
        "DOCKER_HOST": casstore_docker_host,
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }

    def run(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["docker", *words], input=given, capture_output=True, env=surroundings, check=False
        )

    yield run
    run("container", "prune", "-f")


def out(docker: Docker, *words: str, given: bytes = b"") -> list[str]:
    """The lines of a command that succeeds."""
    done = docker(*words, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def names(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name.removeprefix("./") for member in tar}


def test_load_list_and_inspect(docker: Docker) -> None:
    assert out(docker, "load", "-i", str(COMMIT)) == [
        "Loaded image: shop/committed:1",
        "Loaded image: shop/imported:1",
    ]
    form = "{{.Repository}}:{{.Tag}} {{.Size}}"
    assert out(docker, "images", "--format", form) == [
        "shop/committed:1 3.25kB",
        "shop/imported:1 2.65kB",
    ]
    assert out(docker, "images", "-q", "-f", "reference=shop/i*") == ["baacdd8ab5d0"]
    assert out(docker, "inspect", "-f", "{{.Config.Labels.how}}", "shop/committed:1") == ["commit"]
    assert out(docker, "history", "-q", "shop/committed:1") == ["9b2e777a498d", "baacdd8ab5d0"]


def test_what_is_not_there_is_told_as_docker_tells_it(docker: Docker) -> None:
    done = docker("inspect", "nosuch")
    assert (done.returncode, done.stderr) == (1, b"Error: No such object: nosuch\n")

    done = docker("rmi", "nosuch")
    assert done.returncode == 1
    # The first is said by docker 20.10 itself, which does not show what it is told.
    assert done.stderr in (
        b"Error: No such image: nosuch\n",
        b"Error response from daemon: No such image: nosuch:latest\n",
    )
    assert docker("rmi", "-f", "nosuch").returncode == 0


def test_an_archive_that_is_none_is_refused(docker: Docker) -> None:
    done = docker("load", given=b"abc")

    assert done.returncode == 1
    assert b"truncated" in done.stderr


def test_tag_save_remove_and_load_again(
    docker: Docker, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    out(docker, "tag", "a:1", "b/c:2")
    archive = docker("save", "a:1", "b/c:2").stdout
    assert out(docker, "rmi", "a:1") == ["Untagged: a:1"]
    assert out(docker, "rmi", "b/c:2")[:2] == ["Untagged: b/c:2", f"Deleted: {image.id}"]

    assert out(docker, "load", given=archive) == ["Loaded image: a:1", "Loaded image: b/c:2"]
    assert out(docker, "images", "-q", "--no-trunc", "a") == [image.id]


def test_import_makes_an_image(docker: Docker, casstore_store: Store) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))

    (made,) = out(docker, "import", "-c", "ENV A=1", "-", "new:1", given=buffer.getvalue())

    assert casstore_store.get("new:1").id == made
    assert out(docker, "inspect", "-f", "{{.Config.Env}}", "new:1") == ["[A=1]"]


def test_a_container_gives_its_files_and_holds_its_image(
    docker: Docker, casstore_image_factory: ImageFactory, tmp_path: Path
) -> None:
    casstore_image_factory(files={"etc/motd": "hi\n", "etc/x": ""}, tag="a:1")
    out(docker, "create", "--name", "box", "a:1", "sh")

    out(docker, "cp", "box:/etc/motd", str(tmp_path / "motd"))
    out(docker, "cp", "box:/etc", str(tmp_path / "new"))
    (tmp_path / "there").mkdir()
    out(docker, "cp", "box:/etc/.", str(tmp_path / "there"))
    assert (tmp_path / "motd").read_text() == "hi\n"
    assert sorted(os.listdir(tmp_path / "new")) == ["motd", "x"]
    assert sorted(os.listdir(tmp_path / "there")) == ["motd", "x"]
    assert names(docker("export", "box").stdout) == {"etc", "etc/motd", "etc/x"}
    assert names(docker("cp", "box:/etc", "-").stdout) == {"etc", "etc/motd", "etc/x"}
    assert docker("cp", "box:/nosuch", str(tmp_path)).returncode == 1
    assert out(docker, "diff", "box") == []

    assert out(docker, "ps", "-a", "--format", "{{.Names}} {{.Status}}") == ["box Created"]
    assert b"is using its referenced image" in docker("rmi", "a:1").stderr
    assert b"casstore runs no containers" in docker("start", "box").stderr
    assert out(docker, "rm", "box") == ["box"]
    assert docker("rmi", "a:1").returncode == 0


def test_disk_usage_and_every_prune(docker: Docker, casstore_image_factory: ImageFactory) -> None:
    casstore_image_factory(files={"a": "12345"}, tag="a:1")
    casstore_image_factory(files={"b": "1"})

    usage = out(docker, "system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}")
    assert usage[0] == "Images 2 6B"
    assert "a            1" in "\n".join(out(docker, "system", "df", "-v"))
    assert out(docker, "image", "prune", "-f")[-1] == "Total reclaimed space: 1B"
    assert out(docker, "system", "prune", "-af")[-1] == "Total reclaimed space: 5B"
    assert out(docker, "images", "-q") == []


def test_pull_and_push(
    docker: Docker, casstore_image_factory: ImageFactory, tmp_path: Path
) -> None:
    registry = RealRegistry(tmp_path / "registry")
    name = f"{registry.host}/t/a:1"
    image = casstore_image_factory(files={"a": "1"}, tag=name)
    try:
        pushed = out(docker, "push", name)
        out(docker, "rmi", name)
        pulled = out(docker, "pull", name)
    finally:
        registry.stop()

    assert pushed[-1].startswith(f"1: digest: {image.manifests[0]} size: ")
    assert pulled[-2:] == [f"Status: Downloaded newer image for {name}", name]


def test_events_are_told(docker: Docker, casstore_image_factory: ImageFactory) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    out(docker, "tag", "a:1", "b:1")

    form = "{{.Action}} {{.Actor.ID}}"
    until = str(int(time.time()) + 1)
    told = out(docker, "events", "--since", "1h", "--until", until, "--format", form)

    assert told[-1] == f"tag {image.id}"


@pytest.mark.parametrize("words", [("info",), ("version",), ("network", "ls"), ("volume", "ls"),
                                   ("plugin", "ls"), ("search", "x"), ("ps",)])  # fmt: skip
def test_what_there_is_nothing_of_is_no_error(docker: Docker, words: tuple[str, ...]) -> None:
    done = docker(*words)

    assert (done.returncode, done.stderr) == (0, b"")
