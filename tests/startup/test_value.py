"""A `Value` takes what a NamedTuple takes, refuses what one refuses, and shows itself as one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from casstore.startup.value import Value


class Ours(Value):
    a: int
    b: str
    c: bool = False
    d: tuple[int, ...] = ()


class Theirs(NamedTuple):
    a: int
    b: str
    c: bool = False
    d: tuple[int, ...] = ()


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1, "x", True, (2,)), {}),
    ((1, "x", True), {}),
    ((1, "x"), {}),
    ((1,), {"b": "x"}),
    ((1, "x"), {"d": (2,)}),
    ((), {"b": "x", "a": 1}),
    ((), {"a": 1, "b": "x", "c": True, "d": (2,)}),
]
WRONG: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1,), {"c": True}),
    ((1, "x"), {"a": 1}),
    ((1, "x"), {"e": 1}),
    ((1, "x", True, (2,), 5), {}),
    ((1, "x", True, (2,)), {"d": (2,)}),
    ((1, "x", True, (2,)), {"e": 1}),
]


@pytest.mark.parametrize(("values", "named"), CALLS)
def test_it_is_made_as_a_namedtuple_is(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    made, theirs = Ours(*values, **named), Theirs(*values, **named)

    assert tuple(made) == tuple(theirs)
    assert repr(made) == repr(theirs).replace("Theirs", "Ours")
    assert (made.a, made.b, made.c, made.d) == tuple(theirs)


@pytest.mark.parametrize(("values", "named"), WRONG)
def test_it_refuses_what_a_namedtuple_refuses(
    values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        Theirs(*values, **named)
    with pytest.raises(TypeError, match="Ours takes a, b, c, d"):
        Ours(*values, **named)


def test_it_is_replaced_and_told_by_name_as_a_namedtuple_is() -> None:
    made, theirs = Ours(1, "x"), Theirs(1, "x")

    assert tuple(made._replace(b="y")) == tuple(theirs._replace(b="y"))
    assert made._asdict() == theirs._asdict()
    assert Ours._fields == Theirs._fields
