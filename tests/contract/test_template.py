"""Templates: what is made of one has the same content, and says what has become of it since."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from casstore.backends.local.backend import LocalBackend
from casstore.errors import NotAStore, NotFound, StorageError, UsageError
from casstore.store import Store, store_of
from casstore.store.session import Session
from tests.contract.opening import NOW, changing
from tests.transfer.building import docker_archive, layer

if TYPE_CHECKING:
    from pathlib import Path

    from casstore.ports.backend import Backend
    from casstore.ports.template import Made, Template

ARCHIVE = docker_archive(
    {"layers": [layer("base"), layer("a")], "tags": ["a:1"]},
    {"layers": [layer("base"), layer("b")], "tags": ["b:1"]},
)


@pytest.fixture
def template(backend: Backend) -> Template:
    """Of a store with two images; the test ends where no other store can be made of it."""
    with store_of(Session(backend.another()), Store) as store:
        store.load(io.BytesIO(ARCHIVE))
    with changing(backend) as edits:
        try:
            return backend.template(edits)
        except UsageError:
            pytest.skip("a store that is kept in this way is no template")


def made_of(template: Template, path: Path) -> Made:
    template.make(str(path))
    return template.made_at(str(path))


def names(path: Path) -> list[str]:
    backend = LocalBackend(str(path))
    found = [name.familiar for name in backend.view(NOW).all_names()]
    backend.close()
    return found


def test_what_is_made_has_the_same_content(
    template: Template, backend: Backend, tmp_path: Path
) -> None:
    template.make(str(tmp_path / "a clone"))

    with Store(tmp_path / "a clone") as clone, store_of(Session(backend.another()), Store) as store:
        assert clone.images(all=True) == store.images(all=True)
        assert clone.check(content=True).findings == ()


def test_many_are_made_of_one_and_none_knows_of_another(template: Template, tmp_path: Path) -> None:
    template.make(str(tmp_path / "one"))
    with Store(tmp_path / "one") as one:
        one.prune(all=True)

    template.make(str(tmp_path / "two"))

    assert names(tmp_path / "one") == []
    assert names(tmp_path / "two") == ["a:1", "b:1"]


def test_it_is_the_store_as_it_was(template: Template, backend: Backend, tmp_path: Path) -> None:
    with store_of(Session(backend.another()), Store) as store:
        store.tag("a:1", "c:1")

    template.make(str(tmp_path / "clone"))

    assert names(tmp_path / "clone") == ["a:1", "b:1"]


def test_a_blob_that_the_store_has_lost_cannot_be_made_again(
    template: Template, backend: Backend, tmp_path: Path
) -> None:
    with store_of(Session(backend.another()), Store) as store:
        store.remove(["a:1"])

    with pytest.raises(StorageError, match="cannot clone to"):
        template.make(str(tmp_path / "clone"))


def test_nothing_is_made_where_something_is(template: Template, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()

    with pytest.raises(NotAStore, match="is not empty"):
        template.make(str(tmp_path / "there"))


def test_what_was_not_made_cannot_be_asked(template: Template, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or directory"):
        template.made_at(str(tmp_path / "nothing"))


def test_it_is_as_made_until_something_changes(template: Template, tmp_path: Path) -> None:
    made = made_of(template, tmp_path / "made")
    assert made.is_as_made()

    with Store(tmp_path / "made") as store:
        store.tag("a:1", "c:1")
        assert not made.is_as_made()

    assert not made.is_as_made()


def test_looking_changes_nothing(template: Template, tmp_path: Path) -> None:
    made = made_of(template, tmp_path / "made")

    with Store(tmp_path / "made") as store:
        store.get("a:1")
        assert made.is_as_made()

    assert made.is_as_made()


def test_a_change_that_is_refused_changes_nothing(template: Template, tmp_path: Path) -> None:
    made = made_of(template, tmp_path / "made")

    with Store(tmp_path / "made") as store:
        with pytest.raises(NotFound):
            store.leases.remove("no-such-lease")
        assert made.is_as_made()

    assert made.is_as_made()


def test_a_lease_is_a_change(template: Template, tmp_path: Path) -> None:
    made = made_of(template, tmp_path / "made")

    with Store(tmp_path / "made") as store:
        with store.leases.hold("a:1"):
            assert not made.is_as_made()
        store.leases.add("kept", "a:1")
        assert not made.is_as_made()


def test_changes_that_are_sound_have_no_errors(template: Template, tmp_path: Path) -> None:
    made = made_of(template, tmp_path / "made")
    new = docker_archive({"layers": [layer("base"), layer("new")], "tags": ["new:1"]})

    with Store(tmp_path / "made") as store:
        store.remove(["a:1"])
        store.load(io.BytesIO(new))
        store.tag("b:1", "c:1")
        assert made.errors() == []

    assert made.errors() == []


def test_what_is_no_store_any_more_is_not_checked(template: Template, tmp_path: Path) -> None:
    made = made_of(template, tmp_path / "made")
    (tmp_path / "made").rename(tmp_path / "elsewhere")

    assert not made.is_as_made()
    with pytest.raises(NotAStore):
        made.errors()
