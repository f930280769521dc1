"""A registry, a proxy before it, and a store for each test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.registry.access import Access
from casstore.registry.http import Transport
from casstore.store import Store
from tests.registry.servers import Proxy, RealRegistry
from tests.transfer.building import Layout

NewStore = Callable[[], Store]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """The real thing, without login; a test uses repositories of its own."""
    server = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield server
    server.stop()


@pytest.fixture
def proxy(registry: RealRegistry) -> Iterator[Proxy]:
    """The registry as seen through a proxy that can be told to misbehave."""
    server = Proxy(registry.host)
    yield server
    server.stop()


@pytest.fixture
def alone() -> Iterator[Proxy]:
    """A server that is no registry, but for what its rules answer."""
    server = Proxy()
    yield server
    server.stop()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that `transport` has been asked to wait, instead of waiting."""
    return []


@pytest.fixture
def transport(waits: list[float]) -> Iterator[Transport]:
    transport = Transport(Access(), wait=waits.append)
    yield transport
    transport.close()


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[NewStore]:
    """Makes stores, all different and empty."""
    stores: list[Store] = []

    def make() -> Store:
        stores.append(Store(str(tmp_path / f"store-{len(stores)}")))
        return stores[-1]

    yield make
    for store in stores:
        assert not store.session.backend.exists() or store.check().clean
        store.close()


@pytest.fixture
def store(new_store: NewStore) -> Store:
    return new_store()


def filled(store: Store, layout: Layout, directory: Path) -> None:
    """Load a layout made in code."""
    store.load(layout.write(str(directory / "layout")))


def names(store: Store, image: str) -> list[str]:
    return [name.familiar for name in store.get(image).names]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key beside it."""
    path = tmp_path_factory.mktemp("certificate") / "ca.crt"
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", path,
             "-keyout", path.with_suffix(".key")],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return path


@pytest.fixture(scope="session")
def secure(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A registry whose certificate nobody trusts."""
    tls = f"{{certificate: {certificate}, key: {certificate.with_suffix('.key')}}}"
    server = RealRegistry(tmp_path_factory.mktemp("secure"), tls=tls)
    yield server
    server.stop()
