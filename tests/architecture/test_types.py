"""What mypy says of a stranger's code that uses the package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

pytest.importorskip("mypy")

GOOD = """
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import casstore

def names() -> Iterator[str]:
    yield "app:39"

def use(store: casstore.Store, some: Collection[str], others: Sequence[casstore.Reference]) -> None:
    store.remove(["app:39"])
    store.remove(("app:39",))
    store.remove({"app:39"})
    store.remove({"app:39": 1})
    store.remove({"app:39": 1}.keys())
    store.remove(frozenset(("app:39",)))
    store.remove(names())
    store.remove(name for name in some)
    store.remove(map(str, some))
    store.remove(some)
    store.remove(others)
    store.remove(image.id for image in store.images(filters={"dangling=true"}))
    store.encrypt("app:39", "new:1", [("jwe", b""), ("jwe", Path("key"))], layers=range(2))
    store.check(repair_from=[Path("archive.tar"), "other.tar"])
    store.load(Path("archive.tar"), policy=Path("policy.json"))
    store.load("archive.tar")
    store.save(["app:39"], Path("saved.tar"))
    with open("saved.tar", "wb") as out:
        store.save(["app:39"], out)
    store.sign(["app:39"], Path("key"))
    store.copy_in(casstore.Place("oci", Path("layout"), ""), "app:39")
    store.collect(Path("policy.toml"))
    store.collect({"keep": 5})
    casstore.Store(Path("images")).clone(Path("clone"))
    store.collect("policy.toml")
    store.collect(casstore.parse_policy("policy.toml"))

def show(update: casstore.ProgressUpdate) -> None:
    print(update.name, update.done, update.total or 0)

class Bar:
    def __call__(self, update: casstore.ProgressUpdate, /) -> None:
        self.last = update

def planned(
    path: casstore.StrPath, keep: casstore.Several[str], tell: casstore.Tell | None = None
) -> casstore.CollectionPlan:
    store = casstore.Store(path, progress=show)
    store.progress = Bar()
    store.progress = lambda update: print(update.finished)
    store.progress = None
    with casstore.Transport(casstore.Access.from_environment({}, plain_http=True)) as via:
        pulled: casstore.PullResult = store.pull("app:39", via=via, tell=tell)
    loaded: tuple[casstore.LoadedImage, ...] = pulled.images
    image: casstore.Image = store.get(loaded[0].id)
    if image.created_at is not None:
        print(image.created_at.isoformat())
    for entry in store.trash.list():
        print(entry.removed_at.year)
    return store.collect({"keep": 5, "protect": list(keep)}, dry_run=True).plan
"""
BAD = """
import casstore

def use(store: casstore.Store, image: casstore.Digest) -> None:
    store.remove("app:39")
    store.remove(b"app:39")
    store.remove(image)
    store.remove(["app:39", 7])
    store.save("app:39", "saved.tar")
    store.prune(filters="dangling=true")
    store.images(patterns="app")
    store.sign("app:39", b"key")
    store.check(repair_from="archive.tar")
    store.import_image("root.tar", changes="CMD sh")
    store.encrypt("app:39", "new:1", "jwe")
    store.encrypt("app:39", "new:1", [], layers=b"0")
    store.pin(["app:39"])
    store.sign(["app:39"], "key")
    store.load(b"archive.tar")
    casstore.Store(b"images")
    casstore.Store("images", progress="bar")
    store.progress = lambda: None
    print(store.get("app:39").created_at.year)
    store.pull("app:39", via="registry")
    store.copy_in("oci:layout", "app:39")
    casstore.parse_policy(7)
"""


def errors_in(code: str, folder: Path) -> set[int]:
    """The lines of `code` that mypy refuses."""
    (folder / "stranger.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(folder / "stranger.py")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return set(map(int, re.findall(r"stranger\.py:(\d+): error", done.stdout + done.stderr)))


def test_every_form_of_several_values_and_of_a_path_is_accepted(tmp_path: Path) -> None:
    assert errors_in(GOOD, tmp_path) == set()


def test_one_string_for_several_values_is_refused(tmp_path: Path) -> None:
    first = BAD.splitlines().index('    store.remove("app:39")')

    assert errors_in(BAD, tmp_path) == set(range(first + 1, BAD.count("\n") + 1))
