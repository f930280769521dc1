"""What a Store returns and raises goes from a worker process to the one that asked for it."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.errors import CasstoreError, Conflict
from casstore.model.removal import RemovalResult
from casstore.store import Store
from tests.store.test_store import ARCHIVE

ASKED: dict[str, Callable[[Store], object]] = {
    "load": lambda store: store.load(io.BytesIO(ARCHIVE)),
    "images": lambda store: store.images(all=True),
    "get": lambda store: store.get("app:1"),
    "history": lambda store: store.history("app:1"),
    "inspect": lambda store: store.inspect("app:1"),
    "a removal that is refused": lambda store: store.remove(["base:1", "nosuch"], dry_run=True),
    "remove": lambda store: store.remove(["other:1"], keep=60.0, verbose=True),
    "prune": lambda store: store.prune(all=True, dry_run=True),
    "gc": lambda store: store.gc(),
    "collect": lambda store: store.collect({"max-used-space": "1kB", "min-age": "0s"}),
    "figures": lambda store: store.figures(),
    "check": lambda store: store.check(),
    "df": lambda store: store.df(),
    "tree": lambda store: store.tree(),
    "why": lambda store: store.why("app:1"),
    "leases": lambda store: store.leases.list(),
    "trash": lambda store: store.trash.list(),
    "settings": lambda store: store.settings.list(),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        store.pin("base:1")
        store.leases.add("kept", "app:1")
        store.remove(["app:2"], keep=60.0)
        yield store


@pytest.mark.parametrize("question", ASKED)
def test_an_answer_can_be_pickled_and_copied(store: Store, question: str) -> None:
    answer = ASKED[question](store)

    pickled = pickle.loads(pickle.dumps(answer))  # noqa: S301 - what we have just written
    for again in (pickled, copy.deepcopy(answer)):
        assert type(again) is type(answer)
        assert repr(again) == repr(answer)  # an error in it equals no other


def _remove(path: str) -> RemovalResult:
    with Store(path) as store:
        return store.remove(["base:1"], dry_run=True)


def _get(path: str) -> object:
    with Store(path) as store:
        return store.get("nosuch")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_hands_back_what_a_worker_was_refused(store: Store, method: str) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        error = pool.map_async(_remove, [store.path]).get(timeout=60)[0].outcomes[0].error
        with pytest.raises(CasstoreError, match="No such image: nosuch"):
            pool.map_async(_get, [store.path]).get(timeout=60)

    assert isinstance(error, Conflict)
    assert error.forceable
