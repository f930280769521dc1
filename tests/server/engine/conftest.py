"""An Engine API over the test's store."""

from __future__ import annotations

import pytest

from casstore.store import Store
from tests.server.engine.engine import Engine


@pytest.fixture
def engine(casstore_store: Store) -> Engine:
    return Engine(casstore_store)
