"""Times of results as datetimes: in UTC, to the microsecond, and never an error."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from casstore import Image, LeaseInfo, Refused, Store
from casstore.model.datetimes import datetime_of
from tests.architecture.signatures import shown_types
from tests.architecture.sources import ROOT
from tests.transfer.building import config_of, docker_archive, layer

LAYER = layer("x")
# Fields of results that are times; others that are integers are sizes, counts and durations.
TIMES = {"created", "removed", "expires", "last_used", "happened"}
LAST = datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC)
FIRST = datetime(1677, 9, 21, 0, 12, 43, 145224, tzinfo=UTC)


def archive(created: str | None) -> io.BytesIO:
    fields = {} if created is None else {"created": created}
    step = {"created_by": "test", **fields}
    config = config_of(LAYER, history=[step], **fields)
    return io.BytesIO(docker_archive({"layers": [LAYER], "config": config, "tags": ["app:1"]}))


@pytest.mark.parametrize(
    ("created", "moment"),
    [
        ("2019-01-02T03:04:05Z", datetime(2019, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2019-01-02T03:04:05.123456789Z", datetime(2019, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2019-01-02T03:04:05+05:30", datetime(2019, 1, 1, 21, 34, 5, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1969-12-31T23:59:59.999999999Z", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),  # Go's way to say that it is not known
        ("0002-01-01T00:00:00Z", FIRST),
        ("9999-12-31T23:59:59.999999999Z", LAST),
        (None, None),
    ],
)
def test_an_image_was_created_at(
    created: str | None, moment: datetime | None, tmp_path: Path
) -> None:
    with Store(tmp_path / "store") as store:
        store.load(archive(created))
        image = store.get("app:1")
        rows = (store.images()[0], store.df().rows[0], store.tree()[0], store.history("app:1")[0])

        assert [one.created_at for one in (image, *rows)] == [moment] * 5
        assert [one.created for one in rows] == [image.created] * 4
    assert image.created_at is None or image.created_at.tzinfo is UTC


@pytest.mark.parametrize("created", ["10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z"])
def test_a_time_of_another_form_is_refused_with_its_archive(created: str, tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store, pytest.raises(Refused):
        store.load(archive(created))


@pytest.mark.parametrize(
    ("nanoseconds", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (999, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        (2**63 - 1, LAST),
        (-(2**63), FIRST),
        (253_402_300_799_999_999_999, datetime.max.replace(tzinfo=UTC)),
        (253_402_300_800_000_000_000, datetime.max.replace(tzinfo=UTC)),  # the year 10000
        (10**40, datetime.max.replace(tzinfo=UTC)),
        (-62_135_596_800_000_000_000, datetime.min.replace(tzinfo=UTC)),  # the year 1
        (-62_135_596_800_000_000_001, datetime.min.replace(tzinfo=UTC)),
        (-(10**40), datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_time_beyond_the_years_of_a_datetime_is_its_nearest(
    nanoseconds: int, moment: datetime
) -> None:
    assert datetime_of(nanoseconds) == moment


def test_a_result_that_a_caller_makes_may_have_any_time(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(archive(None))
        image = store.get("app:1")._replace(created=10**30)

    assert image.created_at == datetime.max.replace(tzinfo=UTC)


def test_what_is_kept_says_when_it_went_and_when_it_ends(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        before = datetime.now(UTC) - timedelta(microseconds=1)
        store.load(archive(None))
        store.leases.add("soft", "app:1", 3600.0)
        store.leases.add("for-ever", "app:1", None)
        store.tag("app:1", "app:2")
        store.remove(["app:2"], keep=86400.0)
        with store.leases.hold("app:1"):
            hard, endless, soft = store.leases.list()
        plan = store.collect({"keep": 0, "min-age": "0s"}, dry_run=True).plan
        (entry,) = store.trash.list()
        store.leases.remove("soft", "for-ever")
        (step,) = store.collect({"keep": 0, "min-age": "0s"}, dry_run=True).plan.steps

    after = datetime.now(UTC)
    assert soft.expires_at is not None
    assert before < soft.expires_at - timedelta(hours=1) < after
    assert (hard.expires_at, endless.expires_at) == (None, None)
    assert before < entry.removed_at < after
    assert entry.expires_at - entry.removed_at == timedelta(days=1)
    assert before < step.last_used_at < after
    assert plan.steps == ()


def test_every_time_of_a_public_result_can_be_had_as_a_datetime() -> None:
    fields = {
        (kind, name): hint
        for kind in shown_types()
        if issubclass(kind, tuple)
        for name, hint in get_type_hints(kind).items()
        if name in TIMES and int in (hint, *get_args(hint))
    }

    assert {(Image, "created"), (LeaseInfo, "expires")} < fields.keys()
    for (kind, name), hint in fields.items():
        told = get_type_hints(getattr(kind, f"{name}_at").fget)["return"]
        assert set(get_args(told) or (told,)) == {
            datetime if one is int else one for one in get_args(hint) or (hint,)
        }


def test_a_datetime_can_be_compared_with_one_of_another_zone() -> None:
    here = timezone(timedelta(hours=-8))

    assert datetime_of(0) == datetime(1969, 12, 31, 16, tzinfo=here)


def test_datetime_is_imported_when_one_is_asked_for(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(archive("2019-01-02T03:04:05Z"))
    program = """
import sys
sys.path.insert(0, sys.argv[2])
import casstore
image = casstore.Store(sys.argv[1]).get("app:1")
before = "datetime" in sys.modules
print(before, image.created_at.year, "datetime" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, tmp_path / "store", ROOT],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "False 2019 True\n"
