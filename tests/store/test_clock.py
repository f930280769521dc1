"""Whatever the clock of the machine says, a store notes times that fit, and nothing ends early."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from casstore.clock import CLOCK_STOPS, current_time, end_of
from casstore.store import Store
from tests.architecture.sources import modules
from tests.store.test_store import ARCHIVE

YEAR = 365 * 86400
CLOCKS = {
    "1901": -69 * YEAR,
    "1969": -1,
    "1970": 0,
    "2255": CLOCK_STOPS // 10**9 + 1,
    "2261": 291 * YEAR,
    "2263": 293 * YEAR,
    "9999": 8029 * YEAR,
    "beyond Python": None,
}


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: int | None) -> None:
    def told() -> int:
        if seconds is None:
            raise OverflowError("timestamp too large to convert to C _PyTime_t")
        return seconds * 10**9

    monkeypatch.setattr(time, "time_ns", told)


@pytest.mark.parametrize("year", CLOCKS)
def test_a_store_is_used_at_any_time(
    year: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, CLOCKS[year])

    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        store.tag("base:1", "new:1")
        store.leases.add("soft", "base:1", 7 * 86400.0)
        with store.leases.hold("other:1"):
            pass
        store.remove(["app:1"], keep=86400.0)
        store.gc()
        store.prune(dry_run=True)

        assert [lease.name for lease in store.leases.list()] == ["soft"]
        assert [entry.names[0].familiar for entry in store.trash.list()] == ["app:1"]
        assert store.df().images
        assert store.check().clean


@pytest.mark.parametrize("seconds", [300 * YEAR, 1000 * YEAR, 1e300, float("inf")])
def test_a_lease_may_end_after_the_last_moment_that_can_be_noted(
    tmp_path: Path, seconds: float
) -> None:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        store.leases.add("long", "base:1", seconds)
        store.remove(["other:1"], keep=seconds if seconds < 1e300 else 1000.0 * YEAR)

        (lease,) = store.leases.list()
        assert lease.expires == 2**63 - 1
        assert store.trash.list()[0].expires == 2**63 - 1


def test_an_end_is_not_before_the_beginning_of_what_can_be_noted() -> None:
    assert end_of(current_time(), float("-inf")) < 0


def test_only_one_module_asks_for_the_time() -> None:
    # Others would fail, or note what does not fit, from 2262 on.
    asking = [m.path for m in modules() if m.uses() & {"time.time_ns", "time.time"}]

    assert asking == ["clock.py", "registry/failures.py"]
