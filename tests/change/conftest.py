"""A store in memory, with a chain of two images and one of its own."""

from __future__ import annotations

import io

import pytest

from casstore.model.digest import sha256
from casstore.store import Store
from tests.transfer.building import config_of, docker_archive, layer

BASE_LAYER, TOP_LAYER, OTHER_LAYER = layer("base"), layer("top"), layer("other")
BASE_CONFIG = config_of(BASE_LAYER)
APP_CONFIG = config_of(BASE_LAYER, TOP_LAYER, created="2020-01-02T00:00:00Z")
OTHER_CONFIG = config_of(OTHER_LAYER, created="2020-01-01T00:00:00Z")
BASE, APP, OTHER = (sha256(one) for one in (BASE_CONFIG, APP_CONFIG, OTHER_CONFIG))
ARCHIVE = docker_archive(
    {"layers": [BASE_LAYER, TOP_LAYER], "config": APP_CONFIG, "tags": ["app:1", "app:2"],
     "parent": BASE},
    {"layers": [BASE_LAYER], "config": BASE_CONFIG},
    {"layers": [OTHER_LAYER], "config": OTHER_CONFIG, "tags": ["other:1"]},
)  # fmt: skip


@pytest.fixture
def store() -> Store:
    """`app:1` and `app:2` on a nameless parent, and `other:1`."""
    store = Store.in_memory()
    store.load(io.BytesIO(ARCHIVE))
    return store


def stored(store: Store) -> int:
    """Bytes of all blobs."""
    return store.session.view().stored_bytes()
