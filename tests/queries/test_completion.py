"""Names for a prompt: what was typed may begin three kinds of name."""

from __future__ import annotations

import pytest

from casstore import Store

NAMES = ("busybox", "bitnami/redis", "b.example/tool:1", "docker.example/x", "library.example/y")


@pytest.fixture
def named(store: Store) -> Store:
    for name in NAMES:
        store.tag("shop/base:1", name)
    return store


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("b", ["b.example/tool:1", "bitnami/redis:latest", "busybox:latest"]),
        ("busybox:l", ["busybox:latest"]),
        ("bitnami/", ["bitnami/redis:latest"]),
        ("docker", ["docker.example/x:latest"]),
        ("lib", ["library.example/y:latest"]),
        ("nosuch", []),
        ("%", []),
    ],
)
def test_names_are_offered_as_they_are_typed(named: Store, typed: str, names: list[str]) -> None:
    assert named.names(typed) == names


def test_all_names_are_offered_where_nothing_is_typed(named: Store) -> None:
    every = sorted(one.familiar for image in named.images() for one in image.names)

    assert named.names() == every


def test_no_more_names_than_asked_for_are_offered(named: Store) -> None:
    assert len(named.names("", most=3)) == 3
