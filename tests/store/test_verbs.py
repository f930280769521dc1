"""Verbs that stand in parts of a store behave as methods of `Store`."""

from __future__ import annotations

import inspect
import io

import pytest

from casstore.store import Store
from casstore.store.names import Names
from tests.transfer.building import docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("base")], "tags": ["app:1"]})


class Louder(Store):
    """A store that tells names in capitals."""

    def names(self, prefix: str = "", most: int = 1000) -> list[str]:
        return [name.upper() for name in super().names(prefix, most)]


@pytest.fixture
def store() -> Store:
    store = Louder.in_memory()
    store.load(io.BytesIO(ARCHIVE))
    return store


def test_a_class_made_from_store_extends_a_verb(store: Store) -> None:
    assert store.names() == ["APP:1"]


def test_a_verb_of_the_class_takes_a_store(store: Store) -> None:
    assert Store.names(store, "a") == ["app:1"]


def test_a_verb_of_the_class_shows_the_signature_and_the_words_of_its_part() -> None:
    assert inspect.signature(Store.tag) == inspect.signature(Names.tag)
    assert Store.tag.__doc__ == Names.tag.__doc__


def test_a_verb_can_be_replaced_by_one_that_calls_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Store.get, []

    def counted(store: Store, image: str) -> object:
        calls.append(image)
        return real(store, image)

    monkeypatch.setattr(Store, "get", counted)

    assert store.get("app:1") == real(store, "app:1")
    assert calls == ["app:1"]
