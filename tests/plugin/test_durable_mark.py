"""A test's store waits for the disk never, unless it is marked casstore_durable."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Run

pytestmark = pytest.mark.usefixtures("archives")

COUNTED = """
    import os, pytest

    flushed = []

    @pytest.fixture(autouse=True)
    def _count(monkeypatch):
        flushed.clear()
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, flushed.append)

    @pytest.mark.casstore_image("archives/single.tar")
    {mark}
    def test_it(casstore_store, casstore_load, casstore_image_factory):
        casstore_load("archives/twins.tar")
        casstore_image_factory(files={{"etc/motd": "hi"}}, tag="new:1")
        casstore_store.remove(["shop/single:1.0"])
        assert bool(flushed) is {flushes}
"""


@pytest.mark.parametrize(
    ("mark", "flushes"), [("", False), ("@pytest.mark.casstore_durable", True)]
)
def test_a_store_is_flushed_where_the_test_asks_for_it(
    run: Run, mark: str, *, flushes: bool
) -> None:
    result = run(COUNTED.format(mark=mark, flushes=flushes))

    result.assert_outcomes(passed=1)


def test_a_session_store_is_not_flushed(run: Run) -> None:
    result = run("""
        import os

        def test_it(casstore_session_store, monkeypatch):
            monkeypatch.setattr(os, "fsync", None)
            monkeypatch.setattr(os, "fdatasync", None)
            casstore_session_store.load("archives/single.tar")
    """)

    result.assert_outcomes(passed=1)
