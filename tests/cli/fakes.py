"""A command line on a store that only remembers what it was asked and answers what it is told."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

from casstore.errors import CasstoreError
from casstore.model.digest import Digest
from casstore.model.reference import Reference, parse_name
from casstore.model.removal import Outcome, RemovalResult, Removed
from casstore.results.images import ImageSummary
from casstore.store import Store
from casstore.store.leases import Leases
from casstore.store.settings import Settings
from casstore.store.trash import Trash

NOW = 1_386_741_600_000_000_000  # 2013-12-11T06:00:00Z
ID = "fd484f19954f4920da7ff372b5067f5b7ddb2fd3830cecd17b96ea9e286ba5b8"
GROUPS = {"Leases": "leases.", "Settings": "settings.", "Trash": "trash."}

P = ParamSpec("P")
R = TypeVar("R")


class Result(NamedTuple):
    status: int
    out: str
    err: str


class Run(Protocol):
    """Runs a command line."""

    def __call__(self, *words: str) -> Result: ...


def name_of(method: Callable[..., object]) -> str:
    """`load`, or `leases.add` where the method is that of a group."""
    owner, _, name = method.__qualname__.partition(".")
    return GROUPS.get(owner, "") + name


class Script:
    """What a store was asked, and what it will answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._answers: dict[str, list[Any]] = {}

    def answers(self, name: str) -> list[Any]:
        return self._answers.setdefault(name, [])


class Scripted(Protocol):
    """A store, or a group of its methods, that only answers what it is told."""

    script: Script


class Answers(Generic[R]):
    """The answers of one method, which have the type of what it returns."""

    def __init__(self, queue: list[R | BaseException]) -> None:
        self._queue = queue

    def give(self, *answers: R | BaseException) -> None:
        """Answer so, one call after the other; an exception is raised."""
        self._queue.extend(answers)


def answered(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Scripted, P], R]:
    """In place of a method: takes what it takes, notes the call, and gives the next answer.

    A method that returns nothing does so unless it is told to raise something.
    """
    signature, name = inspect.signature(method), name_of(method)
    silent = signature.return_annotation == "None"

    @wraps(method)
    def call(double: Scripted, /, *args: P.args, **named: P.kwargs) -> R:
        signature.bind(None, *args, **named)
        double.script.calls.append((name, args, named))
        queue = double.script.answers(name)
        if silent and not queue:
            queue.append(None)
        assert queue, f"nobody has said what {name} answers"
        answer: R | BaseException = queue.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return call


class FakeLeases(Leases):
    def __init__(self, script: Script) -> None:
        self.script = script

    add = answered(Leases.add)
    hold = answered(Leases.hold)
    list = answered(Leases.list)
    remove = answered(Leases.remove)


class FakeSettings(Settings):
    def __init__(self, script: Script) -> None:
        self.script = script

    list = answered(Settings.list)
    set = answered(Settings.set)
    unset = answered(Settings.unset)


class FakeTrash(Trash):
    def __init__(self, script: Script) -> None:
        self.script = script

    empty = answered(Trash.empty)
    list = answered(Trash.list)
    restore = answered(Trash.restore)


class FakeStore(Store):
    """A store whose verbs do as they are told by `will`; nothing is read or written."""

    def __init__(self) -> None:
        super().__init__("/fake")
        self.script = Script()
        self.leases = FakeLeases(self.script)
        self.settings = FakeSettings(self.script)
        self.trash = FakeTrash(self.script)
        self.opened: tuple[str, float] | None = None
        self.closed = False

    @property
    def calls(self) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
        """Name, positional and named arguments of each call."""
        return self.script.calls

    def will(self, method: Callable[Concatenate[Any, ...], R]) -> Answers[R]:
        """What a verb, or a method of a group, will answer."""
        return Answers(self.script.answers(name_of(method)))

    def close(self) -> None:
        self.closed = True

    attestations = answered(Store.attestations)
    check = answered(Store.check)
    clone = answered(Store.clone)
    collect = answered(Store.collect)
    copy_files = answered(Store.copy_files)
    copy_in = answered(Store.copy_in)
    copy_out = answered(Store.copy_out)
    decrypt = answered(Store.decrypt)
    df = answered(Store.df)
    diff = answered(Store.diff)
    each_image = answered(Store.each_image)
    encrypt = answered(Store.encrypt)
    events = answered(Store.events)
    export = answered(Store.export)
    figures = answered(Store.figures)
    files = answered(Store.files)
    gc = answered(Store.gc)
    get = answered(Store.get)
    history = answered(Store.history)
    image_ids = answered(Store.image_ids)
    images = answered(Store.images)
    import_image = answered(Store.import_image)
    inspect = answered(Store.inspect)
    layers = answered(Store.layers)
    load = answered(Store.load)
    names = answered(Store.names)
    open_layer = answered(Store.open_layer)
    pin = answered(Store.pin)
    platforms = answered(Store.platforms)
    prune = answered(Store.prune)
    publish = answered(Store.publish)
    pull = answered(Store.pull)
    push = answered(Store.push)
    remove = answered(Store.remove)
    report = answered(Store.report)
    save = answered(Store.save)
    sbom = answered(Store.sbom)
    settle = answered(Store.settle)
    sign = answered(Store.sign)
    tag = answered(Store.tag)
    tree = answered(Store.tree)
    unpack = answered(Store.unpack)
    use = answered(Store.use)
    verify = answered(Store.verify)
    why = answered(Store.why)


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
    argument: str, *lines: Removed, error: CasstoreError | None = None, kept: tuple[str, ...] = ()
) -> Outcome:
    return Outcome(argument, lines, error, kept)


def removal(*outcomes: Outcome, freed: int = 0, exit_code: int = 0) -> RemovalResult:
    return RemovalResult(outcomes, freed, exit_code)
