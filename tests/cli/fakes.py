"""A command line on a store that only remembers what it was asked and answers what it is told."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from casstore.model.digest import Digest
from casstore.model.reference import Reference, parse_name
from casstore.model.removal import Outcome, RemovalResult, Removed
from casstore.progress import Progress
from casstore.results.images import ImageSummary
from casstore.store import Store

NOW = 1_386_741_600_000_000_000  # 2013-12-11T06:00:00Z
ID = "fd484f19954f4920da7ff372b5067f5b7ddb2fd3830cecd17b96ea9e286ba5b8"


class Result(NamedTuple):
    status: int
    out: str
    err: str


class Answers:
    """A part of a store: each method pops its next answer (or raises it) and notes the call.

    It has the methods that the real part has, and they take what the real ones take.
    """

    def __init__(self, real: type, called: str = "", of: Answers | None = None) -> None:
        """`called` is put before the names of methods; a part notes its calls with its owner's."""
        self._real, self._called = real, called
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = of.calls if of else []
        self.answers: dict[str, list[Any]] = of.answers if of else {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = None if name.startswith("_") else getattr(self._real, name, None)
        if not inspect.isfunction(method):
            raise AttributeError(f"{self._real.__name__} has no method {name}")
        signature, full = inspect.signature(method), self._called + name

        def call(*args: Any, **kwargs: Any) -> Any:
            signature.bind(None, *args, **kwargs)
            self.calls.append((full, args, kwargs))
            queue = self.answers.get(full) or [None]
            answer = queue.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call


class FakeStore(Answers):
    """A store that does as it is told by `will`; a method of a part is `"leases.add"` there."""

    def __init__(self) -> None:
        super().__init__(Store)
        self.leases = Answers(Store.leases, "leases.", self)  # type: ignore[arg-type]
        self.trash = Answers(Store.trash, "trash.", self)  # type: ignore[arg-type]
        self.settings = Answers(Store.settings, "settings.", self)  # type: ignore[arg-type]
        self.notices: list[str] = []
        self.max_layer_size: int | None = None
        self.progress: Progress | None = None
        self.path = "/fake"
        self.opened: tuple[str, float] | None = None
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def will(self, method: str, *answers: Any) -> None:
        part, _, name = method.rpartition(".")
        getattr(getattr(self, part) if part else self, name)  # there is such a method
        self.answers.setdefault(method, []).extend(answers)


def ref(name: str) -> Reference:
    return parse_name(name).reference


def image(names: str = "", **fields: Any) -> ImageSummary:
    """An image with the page's ID and sizes, unless told otherwise."""
    values: dict[str, Any] = {
        "id": Digest.of_hex(ID),
        "names": tuple(ref(name) for name in names.split()),
        "parent": Digest.of_hex("11" * 32),
        "created": NOW - 23 * 10**9,
        "size": 4_964_000,
        "own_size": 7,
        "children": 0,
        "labels": (),
    }
    return ImageSummary(**(values | fields))


def untagged(name: str) -> Removed:
    return Removed("untagged", name, None, "reference", 0, 0)


def deleted(digits: str, role: str = "image", size: int = 100) -> Removed:
    return Removed("deleted", digits, Digest.of_hex(digits), role, size, size)


def outcome(
    argument: str, *lines: Removed, error: Any = None, kept: tuple[str, ...] = ()
) -> Outcome:
    return Outcome(argument, lines, error, kept)


def removal(*outcomes: Outcome, freed: int = 0, exit_code: int = 0) -> RemovalResult:
    return RemovalResult(outcomes, freed, exit_code)
