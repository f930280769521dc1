"""What commands import that find nothing new in a registry: that is most of what they take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from casstore.store import Store
from tests.architecture.sources import ROOT
from tests.architecture.test_startup import RUN_AND_LIST_MODULES
from tests.registry.servers import RealRegistry
from tests.registry.test_pull_and_push import pushed

# ssl only where TLS is spoken; what unpacks layers, and threads for it, only where there are some.
NOT_NEEDED = frozenset(
    "ssl email http json typing concurrent logging subprocess hashlib queue zstandard".split()  # noqa: SIM905
)


def loaded(folder: Path, *argv: str) -> set[str]:
    listing = folder / "modules"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN_AND_LIST_MODULES, ROOT, listing, *argv],
        check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return set(listing.read_text().split())


@pytest.mark.parametrize("command", ["pull -q NAME", "copy docker://NAME oci:OUT:1"])
def test_what_finds_nothing_new_loads_little(
    command: str, registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    name = f"{registry.host}/loaded/app:1"
    pushed(store, registry.host, tmp_path, "x" * 100_000, "y", name="loaded/app:1")
    words = command.replace("NAME", name).replace("OUT", f"{tmp_path}/out").split()
    argv = ("--store", store.path, *words)
    subprocess.run([sys.executable, "-m", "casstore", *argv], check=True, cwd=tmp_path,
                   stdout=subprocess.DEVNULL)  # fmt: skip

    assert {name.partition(".")[0] for name in loaded(tmp_path, *argv)} & NOT_NEEDED == set()
