"""Leases: whom they hold and for how long, and what they may be called."""

from __future__ import annotations

import io
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from casstore.change.leases import MAX_NAME, check_lease_name, live_leases
from casstore.errors import NotFound, UsageError
from casstore.store import Store
from tests.change.conftest import APP, ARCHIVE, OTHER

SOON = 10**18 * 4  # ns


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "0", "x" * MAX_NAME])
def test_a_name_is_word_characters_dots_and_hyphens(name: str) -> None:
    check_lease_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "\u00e9", "x" * (MAX_NAME + 1)])
def test_what_is_no_name_of_a_lease_is_refused(name: str, store: Store) -> None:
    with pytest.raises(UsageError, match=r"^invalid lease name "):
        check_lease_name(name)
    with pytest.raises(UsageError):
        store.leases.hold("app:1", name=name)


def test_a_hard_lease_holds_images_as_long_as_it_is_held(store: Store) -> None:
    with store.leases.hold("app:1", "other:1", name="job") as lease:
        assert lease.images == (APP, OTHER)
        assert [(one.name, one.image, one.kind) for one in store.leases.list()] == [
            ("job", APP, "hard"), ("job", OTHER, "hard"),
        ]  # fmt: skip

    assert store.leases.list() == []


def test_a_hard_lease_is_called_after_its_process_unless_told_otherwise(store: Store) -> None:
    with store.leases.hold("app:1") as lease:
        assert lease.name == f"process-{os.getpid()}"


def test_releasing_twice_is_releasing(store: Store) -> None:
    lease = store.leases.hold("app:1")
    lease.release()
    lease.release()

    assert store.leases.list() == []


def test_a_lease_of_an_image_that_is_not_there_is_refused_and_holds_nothing(store: Store) -> None:
    with pytest.raises(NotFound):
        store.leases.hold("app:1", "nosuch")

    assert store.leases.list() == []


def test_hard_leases_are_told_before_soft_ones_and_expired_ones_not_at_all(store: Store) -> None:
    with store.session.change() as change:
        for name, expires in (("past", 1), ("now", SOON), ("later", SOON + 1), ("always", None)):
            change.index.set_lease(name, APP, expires)
        change.commit()
    backend = store.session.backend
    with store.leases.hold("other:1", name="zz"):
        told = live_leases(backend, store.session.view(), SOON)

    assert [(one.name, one.image, one.kind, one.expires) for one in told] == [
        ("zz", OTHER, "hard", None),
        ("always", APP, "soft", None),
        ("later", APP, "soft", SOON + 1),
    ]


def test_a_lease_is_taken_beside_others_and_not_while_a_removal_is_committed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def door(timeout: float, *, shared: bool) -> AbstractContextManager[None]:
        asked.append(shared)
        return nullcontext()

    monkeypatch.setattr(store.session.backend, "door", door)
    with store.leases.hold("app:1"):
        pass

    assert asked == [True]


def test_a_lease_in_a_directory_is_the_lock_of_an_open_file(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as local:
        local.load(io.BytesIO(ARCHIVE))
        with local.leases.hold("app:1") as lease:
            assert lease.descriptor is not None
            assert os.path.exists(f"/proc/self/fd/{lease.descriptor}")


def test_a_lease_has_no_descriptor_where_no_file_stands_for_it(store: Store) -> None:
    with store.leases.hold("app:1") as lease:
        assert lease.descriptor is None
