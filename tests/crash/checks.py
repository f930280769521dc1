"""What has to be true of a store at every instant, and after the next command.

`published_problems` looks at the raw files as an outsider does, without casstore's code. `verify`
then uses the store, as its owner does the morning after: no step of it may need a person's help.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from casstore import Store
from casstore.backends.local.care.rebuild import index_in_memory
from casstore.backends.local.view import LocalView
from casstore.change.trash import list_trash
from casstore.cli.main import main
from casstore.errors import CasstoreError, NotAStore
from casstore.model.fileentry import FileEntry
from casstore.model.kept import LayerRecord
from casstore.rules.settings import SETTINGS, key_of
from casstore.transfer.contentstable import ContentsTable, Unusable
from casstore.transfer.layercontents import scan_layer
from casstore.transfer.openlayer import open_framed
from tests.backends.local.behind import directory_of, view_of
from tests.crash import client
from tests.crash.scenarios import Scenario
from tests.crash.trees import Tree, from_database, read_tree
from tests.store.olderstores import half_upgraded

PARTIAL = ".casstore-partial-"  # follows the name of a tree that is written beside it
MARK = ".casstore-partial"  # in a tree that is written in place
RESTING = ("part-", "upload-", "blob-")  # what has its day in ingest/
PARTS = {
    "oci-layout", "index.json", "index.json.last", "blobs", "contents", "ingest", "casstore.db",
    "casstore.generation",
    "casstore.db-wal", "casstore.db-shm", "casstore.lock", "casstore.uses", "casstore.reserve",
    "casstore.events", "quarantine",
}  # fmt: skip


class State(NamedTuple):
    """What users see of a store."""

    names: tuple[tuple[str, str], ...]
    parents: tuple[tuple[str, str | None], ...]
    pins: tuple[str, ...]
    leases: tuple[tuple[str, str], ...]
    trash: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    settings: tuple[tuple[str, object], ...]

    def without_ids(self) -> tuple[object, ...]:
        """For images whose IDs depend on the clock."""
        return tuple(name for name, _ in self.names), len(self.parents), self.leases


NO_STORE = State((), (), (), (), (), ())


def state_of(path: Path) -> State:
    """Every name with its image, every image with its parent, and all else that is kept."""
    try:
        with Store(str(path)) as store:
            return _seen(view_of(store))
    except NotAStore:
        return NO_STORE


def _seen(view: LocalView) -> State:
    return State(
        tuple(sorted((str(r), image) for image, rs in _references(view) for r in rs)),
        tuple(sorted((facts.id, facts.parent) for facts in view.all_images())),
        tuple(sorted(facts.id for facts in view.all_images() if view.is_pinned(facts.id))),
        tuple(sorted((name, image) for name, image, end in view.all_leases() if _lasts(end))),
        tuple((e.names, e.images) for e in list_trash(view) if _lasts(e.expires)),
        tuple((name, view.meta(key_of(name))) for name in SETTINGS if view.meta(key_of(name))),
    )


def _lasts(end: int | None) -> bool:
    return end is None or end > time.time_ns()


def _references(view: LocalView) -> Iterator[tuple[str, list[str]]]:
    for facts in view.all_images():
        yield facts.id, [str(one.name) for one in view.references_of(facts.id)]


class Expectation(NamedTuple):
    """What a command may leave."""

    scenario: Scenario
    before: State
    after: State
    tree: Tree | None = None  # what the command writes at OUT, where that is an image's files

    def fits(self, state: State, allowed: list[State]) -> bool:
        """Whether a state is an allowed one."""
        if self.scenario.takes_trash:
            allowed = [*allowed, *(one._replace(trash=()) for one in allowed)]
        if self.scenario.new_ids and self.after in allowed:
            return state in allowed or state.without_ids() == self.after.without_ids()
        return state in allowed


def verify(
    path: Path, out: Path, expected: Expectation, *, allowed: list[State], done: bool = False
) -> str:
    """What is wrong with the store after an interruption; an empty text if nothing is.

    Args:
        path: the store.
        out: where a save was to write.
        allowed: the states that the store may be in.
        done: the command has said that all is well, so that no damage is forgiven any more.
    """
    scenario = expected.scenario
    forgiven = frozenset() if done and not scenario.status else scenario.damaged
    raw = "" if "blob-missing" in forgiven else published_problems(path)
    raw = raw or from_database(read_tree(path), half_upgraded, "")
    if raw:
        return raw
    try:
        return (
            _use(path, expected, allowed, forgiven)
            or table_problems(path)
            or _rebuilt(path)
            or (_again(path, out, expected) if scenario.command else "")
            or leftovers(path, parts=scenario.leaves_parts)
            or from_database(read_tree(path), half_upgraded, "")
        )
    except CasstoreError as error:
        return f"{type(error).__name__}: {error}"


def _use(path: Path, expected: Expectation, allowed: list[State], forgiven: frozenset[str]) -> str:
    seen = state_of(path)  # a reader, before anybody has changed anything
    if not expected.fits(seen, allowed):
        return f"a reader sees neither before nor after: {seen}"
    with Store(str(path)) as store:
        if not store.session.backend.exists():
            return "" if NO_STORE in allowed else "there is no store"
        store.remove(["nosuch:1"], force=True)  # an ordinary writing command
        if bad := _fsck(store, forgiven):
            return bad
    state = state_of(path)
    return "" if expected.fits(state, allowed) else f"neither before nor after: {state}"


def _fsck(store: Store, forgiven: frozenset[str]) -> str:
    problems = [f for f in store.check().findings if f.level != "note" and f.code not in forgiven]
    return f"fsck: {problems}" if problems else ""


def table_problems(path: Path) -> str:
    """A table of contents says what its layer does, or that it cannot be used."""
    with Store(str(path)) as store:
        if not store.session.backend.exists():
            return ""
        backend, view = store.session.backend, store.session.view()
        for file in backend.contents.walk():
            layer = file.digest and view.layer(file.digest)
            if not layer or backend.blobs.size(layer.digest) is None:
                continue  # gc takes it
            table = backend.contents.open(layer.digest)
            assert table is not None
            try:
                with ContentsTable(table, layer.digest, hashes=True) as contents:
                    said = list(contents.entries())
            except Unusable:
                continue
            if said != entries_of(store, layer):
                return f"the table of {layer.digest} says something else"
    return ""


def entries_of(store: Store, layer: LayerRecord) -> list[FileEntry]:
    """What a layer says, from the layer itself."""
    out = io.BytesIO()
    with open_framed(store.session.backend.blobs.open(layer.digest), layer) as content:
        scan_layer(content.pieces(), layer.digest, out, io.BytesIO)
    with ContentsTable(out, layer.digest, hashes=True) as contents:
        return list(contents.entries())


def _rebuilt(path: Path) -> str:
    """index.json and the blobs alone give the same images, names, parents and pins."""
    with Store(str(path)) as store:
        if not store.session.backend.exists():
            return ""
        if directory_of(store).layout.is_withdrawn():
            store.publish()
        here = _seen(view_of(store))
        connection = index_in_memory(directory_of(store))
        try:
            there = _seen(LocalView(connection, now=0, hard={}))
        finally:
            connection.close()
    return "" if there[:3] == here[:3] else f"index.json gives {there}, the database {here}"


def _again(path: Path, out: Path, expected: Expectation) -> str:
    """The command is repeated: it ends in the state after."""
    scenario = expected.scenario
    if scenario.unpacks:
        return _unpacked_again(path, out, expected)
    if scenario.makes_layout and out.exists():
        shutil.rmtree(out)  # it is whole, and is not written over
    words = ["--store", str(path), *scenario.words(out)]
    status, said = run_here(words, client.main if scenario.by_client else main)
    if status not in (0, 1, 12) or "Traceback" in said:
        return f"again: {status}: {said}"
    if scenario.writes_output:
        if status or (bad := output_problems(out)):
            return f"again: {said or bad}"
        if left := list(out.parent.glob(".casstore-*.part")):
            return f"again: it leaves {left}"
    elif scenario.new_ids:
        return ""  # it has made another image
    state = state_of(path)
    if not expected.fits(state, [expected.after]):
        return f"the command again does not end in the state after but {state}: {said}"
    with Store(str(path)) as store:
        return _fsck(store, scenario.damaged if scenario.status else frozenset())


def _unpacked_again(path: Path, out: Path, expected: Expectation) -> str:
    """What was interrupted is completed by the same command, and what is whole needs no more."""
    whole = tree_of(out) == (expected.tree or {})
    status, said = run_here(["--store", str(path), *expected.scenario.words(out)])
    if status and not whole:
        return f"again: {status}: {said}"
    if left := list(out.parent.glob(f"{out.name}{PARTIAL}*")):
        return f"again: it leaves {left}"
    return tree_problems(out, expected, done=True)


def tree_of(out: Path) -> Tree:
    """The files at OUT, if it is a directory."""
    return read_tree(out) if out.is_dir() else {}


def tree_problems(out: Path, expected: Expectation, *, done: bool) -> str:
    """A tree of an image's files is whole, or as it was, or says that it is neither."""
    found = tree_of(out)
    if found == (expected.tree or {}):
        return ""
    if done:
        return f"the tree is not whole: {sorted(found)}"
    if MARK in found:
        return ""
    before = out.with_name("before")
    before.mkdir()
    try:
        there = before / "out"
        if expected.scenario.there is not None:
            expected.scenario.there(there)
        return "" if found == tree_of(there) else f"half a tree looks whole: {sorted(found)}"
    finally:
        shutil.rmtree(before)


def leftovers(path: Path, *, parts: bool = False) -> str:
    """After gc there is nothing that nobody needs, but for `parts` that a client comes back to."""
    with Store(str(path)) as store:
        store.gc()
        known = {blob.digest.hex for blob in store.session.view().all_blobs()}
    found = set(os.listdir(path / "blobs" / "sha256"))
    missing = set() if not (path / "quarantine").exists() else known - found
    if found != known - missing:
        return f"after gc: {sorted(found ^ known)}"
    if (path / "contents").exists() and (tables := set(os.listdir(path / "contents")) - known):
        return f"after gc in contents: {sorted(tables)}"
    left = os.listdir(path / "ingest")
    if left := [name for name in left if not (parts and name.startswith(RESTING))]:
        return f"after gc in ingest: {left}"
    strange = [
        name
        for name in os.listdir(path)
        if name not in PARTS and not name.startswith("casstore.db.damaged-")
    ]
    return f"after gc in the store: {strange}" if strange else ""


def output_problems(out: Path) -> str:
    """What is wrong with the output of a command: archive, layout or report."""
    try:
        if out.is_dir():
            return published_problems(out)
        data = out.read_bytes()
        if data.startswith(b"<!"):
            return "" if data.endswith(b"</html>\n") else "the report is not whole"
        with tarfile.open(out) as archive:
            for member in archive:
                if member.isreg():
                    content = archive.extractfile(member)
                    assert content is not None
                    content.read()
    except (OSError, tarfile.TarError, EOFError) as error:
        return f"the output is not whole: {error}"
    return ""


@contextmanager
def _quietly() -> Iterator[io.StringIO]:
    text = io.StringIO()
    with redirect_stdout(io.TextIOWrapper(io.BytesIO())), redirect_stderr(text):
        yield text


def run_here(words: list[str], program: Callable[[list[str]], int] = main) -> tuple[int, str]:
    """Run a command in this process: its exit status, and what it said on stderr.

    A gc with a policy lowers the priority of its process, which is a whole sweep here.
    """
    with _quietly() as said, pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "nice", lambda _: 0)
        status = program(words)
    return status, said.getvalue()


def published_problems(store: Path) -> str:
    """Whether the raw files keep what is promised of every instant.

    index.json is whole and leads only to blobs that are there and right, and each file among the
    blobs has the content that its name says.
    """
    path = store / "index.json"
    wrong = _blob_problems(store / "blobs" / "sha256")
    if wrong or not path.exists():
        return wrong
    try:
        index = json.loads(path.read_bytes())
    except ValueError as error:
        return f"index.json is not whole: {error}"
    todo = [index["manifests"]]
    while todo:
        for descriptor in todo.pop():
            hexadecimal = descriptor["digest"].partition(":")[2]
            blob = store / "blobs" / "sha256" / hexadecimal
            try:
                data = blob.read_bytes()
            except FileNotFoundError:
                return f"index.json leads to {hexadecimal}, which is missing"
            if len(data) != descriptor["size"]:
                return f"index.json leads to {hexadecimal}, which has another size"
            if "manifest" in descriptor["mediaType"] or "index" in descriptor["mediaType"]:
                document = json.loads(data)
                todo.append(document.get("layers", []) + document.get("manifests", []))
                todo.append([document["config"]] if "config" in document else [])
    return ""


def _blob_problems(folder: Path) -> str:
    if not folder.is_dir():
        return ""
    for blob in folder.iterdir():
        if not stat.S_ISREG(blob.lstat().st_mode):
            return f"{blob.name} is not a regular file"
        if hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name:
            return f"the content of {blob.name} is not what its name says"
    return ""
