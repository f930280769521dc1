"""Every test of a contract runs on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.opening import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from casstore.ports.backend import Backend


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A store with nothing in it."""
    made = BACKENDS[request.param](tmp_path)
    made.create()
    yield made
    made.close()
