"""A real registry on the loopback, for the commands that talk to one while they are interrupted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from casstore import Store
from tests.crash.scenarios import ARCHIVES, REGISTRY
from tests.registry.servers import RealRegistry


def available() -> bool:
    """Whether there is a registry to run."""
    return shutil.which("docker-registry") is not None


@contextmanager
def serving() -> Iterator[None]:
    """While it lasts, `R/` in a scenario is a registry that has the images of chain.tar.

    It is found by the environment, so that the processes of a sweep share it.
    """
    with tempfile.TemporaryDirectory(prefix="casstore-registry-") as folder:
        registry = RealRegistry(Path(folder, "registry"))
        os.environ[REGISTRY] = registry.host
        try:
            with Store(os.path.join(folder, "store")) as store:
                store.load(str(ARCHIVES / "chain.tar"))
                for name in ("app:1", "base:1"):
                    store.tag(name, f"{registry.host}/{name}")
                    store.push(f"{registry.host}/{name}")
            yield
        finally:
            del os.environ[REGISTRY]
            registry.stop()
