"""What commands import that find nothing new in a registry: that is most of what they take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from casstore.store import Store
from casstore.transfer.place import Place
from tests.architecture.sources import ROOT
from tests.architecture.test_startup import RUN_AND_LIST_MODULES
from tests.registry.conftest import NewStore
from tests.registry.servers import RealRegistry
from tests.registry.test_pull_and_push import pushed

# ssl only where TLS is spoken; what unpacks layers, and threads for it, only where there are some;
# packages around a module in C, and what most addresses do without, nowhere.
NOT_NEEDED = frozenset(
    """
    collections concurrent contextlib email enum functools hashlib http ipaddress json logging
    queue re selectors socket ssl subprocess threading typing urllib zstandard
    """.split()  # noqa: SIM905 - names a line read better than one
)

PATH = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "


def loaded(folder: Path, *argv: str) -> set[str]:
    listing = folder / "modules"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN_AND_LIST_MODULES, ROOT, listing, *argv],
        check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return set(listing.read_text().split())


@pytest.mark.parametrize(
    "command",
    [
        "pull -q NAME",
        "push -q NAME",
        "copy docker://NAME oci:OUT:1",
        "copy oci:source:1 docker://NAME-2",
        "copy docker://NAME docker://NAME-2",
    ],
)
def test_what_finds_nothing_new_loads_little(
    command: str, registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    name = f"{registry.host}/loaded/app:1"
    pushed(store, registry.host, tmp_path, "x" * 100_000, "y", name="loaded/app:1")
    store.copy_out(name, Place("oci", tmp_path / "source", "1"))
    words = command.replace("NAME", name).replace("OUT", "out").split()
    argv = ("--store", store.path, *words)
    subprocess.run([sys.executable, "-m", "casstore", *argv], check=True, cwd=tmp_path,
                   stdout=subprocess.DEVNULL)  # fmt: skip

    assert {name.partition(".")[0] for name in loaded(tmp_path, *argv)} & NOT_NEEDED == set()


@pytest.mark.parametrize("host", ["registry.example", "127.0.0.1:5000", "[::1]:5000", "10.0.0.1"])
def test_whether_a_registry_is_on_this_machine_is_told_without_what_reads_networks(
    host: str,
) -> None:
    program = (
        "import sys; from casstore.registry.address import is_loopback; is_loopback(sys.argv[1])"
    )
    program += "; sys.exit('ipaddress' in sys.modules)"

    subprocess.run([sys.executable, "-I", "-S", "-c", f"{PATH}{program}", host], check=True)


def test_a_copy_to_a_layout_that_has_all_of_it_loads_nothing_to_write_with(
    registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    pushed(store, registry.host, tmp_path, "x", name="there/app:1")
    argv = ("copy", f"docker://{registry.host}/there/app:1", "oci:out:1")
    first, again = loaded(tmp_path, *argv), loaded(tmp_path, *argv)

    assert {"fcntl", "casstore.files.newfile", "casstore.files.trees"} <= first - again


# Threads verify layers side by side; what `concurrent.futures` would bring with them is not needed.
NOT_FOR_LAYERS = frozenset("concurrent contextlib email http logging ssl typing".split())  # noqa: SIM905


@pytest.mark.parametrize(
    "command", ["pull -q NAME", "copy docker://NAME oci:out:1", "copy docker://NAME docker://NAME2"]
)
def test_what_moves_layers_loads_no_more_than_it_needs(
    command: str, registry: RealRegistry, store: Store, new_store: NewStore, tmp_path: Path
) -> None:
    name = f"{registry.host}/moved/app:1"
    pushed(store, registry.host, tmp_path, "x" * 300_000, "y" * 90_000, name="moved/app:1")
    words = command.replace("NAME2", f"{registry.host}/moved-2/app:1").replace("NAME", name).split()
    modules = loaded(tmp_path, "--store", new_store().path, *words)

    assert {name.partition(".")[0] for name in modules} & NOT_FOR_LAYERS == set()
