"""A store that was made of a template: whatever becomes of it is told as a check tells it."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local import schema
from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.blobs import BlobDirectory
from casstore.backends.local.care.template import Template
from casstore.errors import CasstoreError
from casstore.files import durable
from casstore.model.digest import Digest
from casstore.ports.template import Made
from casstore.store import Store
from tests.backends.local.behind import directory_of, view_of
from tests.contract.opening import changing
from tests.contract.test_template import made_of
from tests.transfer.building import docker_archive, layer

ROOT = Path(__file__).resolve().parents[3]
PLATFORMS = ROOT / "fixtures" / "images" / "ctr" / "index.tar"
NAMES = ("a:1", "b:1", "c:1")
ARCHIVE = docker_archive(
    *({"layers": [layer("base"), layer(name)], "tags": [name]} for name in NAMES)
)


@pytest.fixture
def template(tmp_path: Path) -> Iterator[Template]:
    """Of a store with three images of one manifest, and one of several platforms."""
    with Store(tmp_path / "the origin") as store:
        store.load(io.BytesIO(ARCHIVE))
        store.load(PLATFORMS)
    with closing(LocalBackend(str(tmp_path / "the origin"))) as backend, changing(backend) as edits:
        yield backend.template(edits)


@pytest.fixture
def made(template: Template, tmp_path: Path) -> Made:
    return made_of(template, tmp_path / "made of it")


@pytest.fixture
def path(made: Made, tmp_path: Path) -> Path:
    return tmp_path / "made of it"


def told(found: Callable[[], object]) -> object:
    try:
        return found()
    except CasstoreError as error:
        return type(error), str(error)


def checked(path: Path) -> object:
    """The errors of a whole check, or why there can be none."""
    with Store(path) as store:
        return told(
            lambda: [one for one in store.check(content=False).findings if one.level == "error"]
        )


def blob(path: Path, kind: str) -> Path:
    """The file of a blob of the last image with one manifest: `manifest`, `config` or `layer`."""
    with Store(path) as store:
        view = view_of(store)
        (top,) = view.tops_of(store.get("c:1").id)
        digests = {state.kind: state.digest for state in view.needs_of(top.digest)}
        return Path(directory_of(store).blobs.path({**digests, "manifest": top.digest}[kind]))


def overwrite(file: Path, at: int = 0, bytes_: bytes = b"!") -> None:
    """Write into a file, and give it its times back, as a thorough program would."""
    status = file.stat()
    file.chmod(0o644)
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(bytes_)
    file.chmod(status.st_mode & 0o777)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(file: Path) -> None:
    file.chmod(0o644)
    os.truncate(file, 10)


def replace(file: Path) -> None:
    """Put another file of the same size and times in the place of one."""
    copy = file.with_name("copy")
    shutil.copy2(file, copy)
    overwrite(copy)
    copy.replace(file)


def link_away(path: Path) -> None:
    """Move a part of a store away, and put a symbolic link in its place."""
    away = path.parents[2] / "away"
    path.rename(away)
    path.symlink_to(away)


def sql(statement: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with closing(sqlite3.connect(path / "casstore.db")) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            assert connection.execute(statement).rowcount > 0
            connection.commit()

    return run


def zero(size: int) -> Callable[[Path], None]:
    """Write zeros over the second half of casstore.db, which keeps its size."""

    def run(path: Path) -> None:
        length = (path / "casstore.db").stat().st_size
        overwrite(path / "casstore.db", length // 2 // size * size, bytes(length // 2))

    return run


def in_place_of(path: Path, what: str) -> None:
    """Put an empty directory or file where a part of the store was."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if what == "directory":
        path.mkdir()
    else:
        path.touch()


def lose_index(path: Path) -> None:
    (path / "casstore.db-wal").write_bytes(bytes(8192))
    overwrite(path / "casstore.db")


def become_another(path: Path) -> None:
    """Put a store in its place, which is not sound."""
    shutil.rmtree(path)
    with Store(path) as store:
        store.load(io.BytesIO(ARCHIVE))
    blob(path, "layer").unlink()


# ruff: noqa: S608 - all parts are constants
C_1 = "(SELECT image FROM reference WHERE name LIKE '%/c:1')"
MANIFEST = f"(SELECT manifest FROM holding WHERE image = {C_1})"
HARM: dict[str, Callable[[Path], None]] = {
    "a manifest is written to": lambda path: overwrite(blob(path, "manifest")),
    "a config is written to": lambda path: overwrite(blob(path, "config")),
    "a manifest is replaced": lambda path: replace(blob(path, "manifest")),
    "a config is replaced": lambda path: replace(blob(path, "config")),
    "a config is cut": lambda path: cut(blob(path, "config")),
    "a layer is cut": lambda path: cut(blob(path, "layer")),
    "a manifest is missing": lambda path: blob(path, "manifest").unlink(),
    "a layer is missing": lambda path: blob(path, "layer").unlink(),
    "a layer is a directory": lambda path: in_place_of(blob(path, "layer"), "directory"),
    "a config is a link": lambda path: link_away(blob(path, "config")),
    "an edge is missing": sql(f"DELETE FROM edge WHERE parent = {MANIFEST}"),
    "edges are in another order": sql("UPDATE edge SET position = 9 - position"),
    "a count is wrong": sql(f"UPDATE blob SET refcount = refcount + 1 WHERE id = {MANIFEST}"),
    "a size is wrong": sql(f"UPDATE blob SET size = size + 1 WHERE id = {MANIFEST}"),
    "a kind is unknown": sql(f"UPDATE blob SET kind = 77 WHERE id = {MANIFEST}"),
    "a diff ID is wrong": sql("UPDATE layer SET diff_id = zeroblob(32)"),
    "a layer is none": sql("DELETE FROM layer"),
    "an image has another ID": sql(f"UPDATE image SET digest = zeroblob(32) WHERE id = {C_1}"),
    "an image is not held": sql(f"DELETE FROM holding WHERE image = {C_1}"),
    "a name has no image": sql("UPDATE reference SET image = 4711 WHERE name LIKE '%/c:1'"),
    "the generation is old": sql("UPDATE meta SET value = 0 WHERE key = 'generation'"),
    "pages of the index are zeros": zero(4096),
    "the index is no database": lambda path: overwrite(path / "casstore.db"),
    "the index is missing": lambda path: (path / "casstore.db").unlink(),
    "the index is a link": lambda path: link_away(path / "casstore.db"),
    "the index and its log are something else": lose_index,
    "index.json says something else": lambda path: overwrite(path / "index.json", 120, b"00"),
    "index.json is empty": lambda path: in_place_of(path / "index.json", "file"),
    "index.json is a directory": lambda path: in_place_of(path / "index.json", "directory"),
    "oci-layout is of another version": lambda path: overwrite(path / "oci-layout", 24, b"9"),
    "oci-layout is a link": lambda path: link_away(path / "oci-layout"),
    "oci-layout is missing": lambda path: (path / "oci-layout").unlink(),
    "the lock is a directory": lambda path: in_place_of(path / "casstore.lock", "directory"),
    "the blobs are elsewhere": lambda path: link_away(path / "blobs" / "sha256"),
    "the blobs are missing": lambda path: shutil.rmtree(path / "blobs"),
    "ingest is a file": lambda path: in_place_of(path / "ingest", "file"),
    "a part of ours is a link": lambda path: (path / "casstore.uses").symlink_to("nowhere"),
    "it is another store": become_another,
}  # fmt: skip


@pytest.mark.parametrize("changed", [False, True], ids=["as made", "changed before"])
@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_damage_is_told_as_a_check_tells_it(
    made: Made, path: Path, harm: Callable[[Path], None], *, changed: bool
) -> None:
    if changed:
        with Store(path) as store:
            store.remove(["a:1"])
    harm(path)

    errors = told(made.errors)

    assert errors == checked(path)
    assert errors != []
    assert not made.is_as_made()


@pytest.mark.parametrize("part", [
    ".", "blobs", "blobs/sha256", "ingest", "index.json", "casstore.db", "oci-layout", "config",
])  # fmt: skip
def test_what_may_not_be_read_is_told_as_a_check_tells_it(
    made: Made, path: Path, part: str
) -> None:
    """To root, who may read all, nothing is wrong."""
    file = blob(path, part) if part == "config" else path / part
    file.chmod(0)
    try:
        errors, expected, as_made = told(made.errors), checked(path), made.is_as_made()
    finally:
        file.chmod(0o755)

    assert errors == expected
    assert not (as_made and errors)


def test_the_version_of_another_tool_is_no_error(made: Made, path: Path) -> None:
    (path / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')

    assert not made.is_as_made()
    assert made.errors() == checked(path)


@pytest.mark.parametrize("name", ["casstore.db-journal", "index.json.foreign-1", "a note"])
def test_a_file_that_was_not_made_is_in_doubt(made: Made, path: Path, name: str) -> None:
    (path / name).write_text("something")

    assert not made.is_as_made()
    assert made.errors() == checked(path) == []


@pytest.mark.parametrize("part", ["oci-layout", "index.json", "casstore.db", "ingest"])
def test_a_part_that_is_gone_is_in_doubt(made: Made, path: Path, part: str) -> None:
    target = path / part
    target.rmdir() if target.is_dir() else target.unlink()

    assert not made.is_as_made()
    assert told(made.errors) == checked(path)


def test_what_another_process_has_changed_is_no_secret(made: Made, path: Path) -> None:
    """Its change is in the log alone: casstore.db has the same bytes."""
    with Store(path) as store:
        store.tag("a:1", "d:1")

        assert (path / "casstore.db-wal").stat().st_size
        assert not made.is_as_made()


def test_a_blob_of_the_same_bytes_in_another_file_is_in_doubt(made: Made, path: Path) -> None:
    config = blob(path, "config")
    shutil.copy2(config, path.parent / "copy")
    (path.parent / "copy").replace(config)

    assert not made.is_as_made()
    assert made.errors() == []


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Digest]:
    """The documents that are read."""
    found: list[Digest] = []
    content = BlobDirectory.content

    def note(blobs: BlobDirectory, digest: Digest, limit: int) -> bytes | None:
        found.append(digest)
        return content(blobs, digest, limit)

    monkeypatch.setattr(BlobDirectory, "content", note)
    return found


def test_documents_that_are_the_same_are_not_read_again(
    made: Made, path: Path, read: list[Digest]
) -> None:
    with Store(path) as store:
        store.remove(["a:1"])
        platforms = len(of_indexes(store))
        new = docker_archive({"layers": [layer("base"), layer("new")], "tags": ["new:1"]})
        store.load(io.BytesIO(new))
        read.clear()

        assert made.errors() == []

    assert len(read) == platforms + 2  # and a manifest and its config


def of_indexes(store: Store) -> set[Digest]:
    """The documents of images that have an index, which may get more of its platforms."""
    view = view_of(store)
    found: set[Digest] = set()
    ahead = [top.digest for _, top in view.all_tops() if "index" in top.media_type]
    for digest in ahead:
        state = view.blob_state(digest)
        assert state is not None
        if state.kind != "layer":
            found.add(digest)
            ahead += [need.digest for need in view.needs_of(digest)]
    return found


def test_neither_making_one_nor_a_look_at_what_is_as_made_opens_an_index(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_open", None)
    monkeypatch.setattr(schema, "in_memory", None)

    assert made_of(template, tmp_path / "one").is_as_made()


def test_where_no_links_can_be_made_blobs_are_copied(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "share", lambda source, target, *, old, new: False)

    made = made_of(template, tmp_path / "copied")

    assert made.is_as_made()
    with Store(tmp_path / "copied") as store:
        assert store.check(content=True).clean
        links = {file.stat().st_nlink for file in os.scandir(directory_of(store).blobs.directory)}
        assert links == {1}


def test_nothing_is_flushed_in_a_volatile_store(
    template: Template, tmp_path: Path, flushed: list[str]
) -> None:
    with Store(tmp_path / "volatile", volatile=True) as store:
        made = made_of(template, tmp_path / "volatile")
        store.remove(["a:1"])
        store.close()
        made.errors()

    assert flushed == []


def test_a_store_that_is_not_volatile_is_flushed(
    template: Template, tmp_path: Path, flushed: list[str]
) -> None:
    template.make(str(tmp_path / "durable"))

    assert str(tmp_path / "durable" / "casstore.db") in flushed
    assert str(tmp_path / "durable") in flushed
