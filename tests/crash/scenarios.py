"""The commands that are interrupted, and the stores they run on. One line adds a command."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import zstandard

from casstore import Store
from casstore.flows.save import LARGE, open_layer
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.model.mediatype import DELTA
from casstore.transfer.deltaformat import Head, Slice
from casstore.transfer.layercontents import scan_layer
from casstore.transfer.openlayer import open_framed
from casstore.transfer.thin import LeftOut, Thin
from tests.crash import client
from tests.store.olderstores import make_older
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    Layout,
    config_of,
    docker_archive,
    layer,
    member,
    tar_of,
    tar_of_members,
)

FIXTURES = Path(__file__).parents[2] / "fixtures"
ARCHIVES = FIXTURES / "transcripts" / "archives"
KEYS = FIXTURES / "images" / "encrypted" / "keys"
REGISTRY = "CASSTORE_CRASH_REGISTRY"  # in the environment: host and port of a registry


class Scenario(NamedTuple):
    """A command to interrupt, on a store made by `prepare`.

    In `command`, `A/` is the folder of archives, `K/` that of keys, `R/` a registry, `OUT` a path
    beside the store, and `LAYOUT` the one that `prepare` made there.
    """

    name: str
    command: str
    prepare: Callable[[Store], None]
    new_ids: bool = False  # the IDs of new images depend on the clock
    damaged: frozenset[str] = frozenset()  # fsck's words for what the store has before it
    status: int = 0  # that of the command when nothing disturbs it
    linked: bool = False  # beside a copy of the store by hard links, which is to stay as it is
    takes_trash: bool = False  # where the disk is full it empties the trash first, and goes on
    in_turns: bool = False  # it commits more than once: what it did before an error stays done
    unpacks: bool = False  # OUT is a tree of an image's files
    there: Callable[[Path], None] | None = None  # makes what is at OUT before
    by_client: bool = False  # a client of the registry asks for it (client.py), not a person

    def words(self, out: Path) -> list[str]:
        """The command's words."""
        return [self._word(word, out) for word in self.command.split()]

    @staticmethod
    def _word(word: str, out: Path) -> str:
        if word.startswith("R/"):
            return _in_registry(word[2:])
        if word == "LAYOUT":
            return str(out.with_name("layout"))
        if word.endswith("OUT"):
            return word.removesuffix("OUT") + str(out)
        return re.sub(r"(^|:)A/", rf"\1{ARCHIVES}/", word).replace("K/", f"{KEYS}/")

    @property
    def program(self) -> list[str]:
        """What Python runs."""
        return [str(Path(client.__file__))] if self.by_client else ["-m", "casstore"]

    @property
    def leaves_parts(self) -> bool:
        """Whether something may stay in ingest/ that the next one goes on with."""
        return self.needs_registry or self.by_client

    @property
    def writes_output(self) -> bool:
        """Whether it writes a file or a layout beside the store, and the store is left alone."""
        return "OUT" in self.command.replace("LAYOUT", "")

    @property
    def makes_layout(self) -> bool:
        """Whether that is a directory, which is made and never written over."""
        folders = ("--format oci-dir", "oci:OUT", "--format dir", "dir:OUT")
        return self.writes_output and any(words in self.command for words in folders)

    @property
    def needs_registry(self) -> bool:
        """Whether it talks to a registry."""
        return " R/" in self.command


def _nothing(store: Store) -> None:
    """No store yet."""


def _chain(store: Store) -> None:
    store.load(str(ARCHIVES / "chain.tar"))
    store.tag("app:1", "other:2")


def _two_forms(store: Store) -> None:
    """An image as base:1 with zstd layers and as form:1 with gzip ones; n:1 in chain-noparent."""
    store.load(str(ARCHIVES / "chain-noparent.tar"))
    image = store.get("n:1")
    layout = Layout()
    config = store.session.backend.blobs.read(image.id)
    layers = []
    for diff_id in json.loads(config)["rootfs"]["diff_ids"]:
        with open_layer(store.session.backend, store.session.view(), diff_id) as content:
            data = gzip.compress(content.read(), mtime=0)
        layers.append(layout.blob(data, OCI_LAYER + "+gzip"))
    layout.publish(layout.manifest(layout.blob(config, OCI_CONFIG), layers), "form:1")
    store.load(layout.tar())
    store.tag("n:1", "base:1")
    store.remove(["n:1"])


def _layout(store: Store) -> None:
    """A layout beside the store, whose blobs can be linked; its app:1 moves a name."""
    layout = Layout()
    layout.publish(layout.image("common", "one"), "one:1")
    layout.publish(layout.image("common", "two"), "app:1")
    _chain(store)
    layout.write(str(Path(store.path).with_name("layout")))


def _thin(store: Store) -> None:
    """An archive beside the store that leaves out the layers of base:1, which it has."""
    _chain(store)
    with Store.in_memory() as origin:
        origin.load(str(ARCHIVES / "chain.tar"))
        origin.load(str(ARCHIVES / "fork.tar"))
        layout = Path(store.path).with_name("layout")
        origin.save(["app2:1"], layout, exclude_base=["base:1"])


def _delta(store: Store) -> None:
    """An archive beside the store, whose one layer is a delta from a layer of base:1."""
    _chain(store)
    tar = layer("a layer that comes as a delta")
    base = store.session.view().layer(store.get("base:1").layers[0])
    assert base is not None
    frame = zstandard.ZstdCompressor().compress(tar)
    head = Head(base.diff_id, base.diff_size, sha256(tar), len(tar))
    delta = head.encoded() + Slice(len(tar), ((0, 512),), frame).encoded() + frame
    descriptor = Descriptor(DELTA, sha256(delta), len(delta))
    left_out = LeftOut(len(tar), sha256(tar), None, "", None, descriptor, base.diff_id)
    config = config_of(tar)
    items = [{"Config": "config", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]
    files = {
        "manifest.json": json.dumps(items).encode(),
        "casstore-thin.json": Thin((left_out,), ()).encoded(),
        "config": config,
        f"{sha256(delta).hex}.delta": delta,
    }
    Path(store.path).with_name("layout").write_bytes(tar_of(files))


def _promised(store: Store) -> None:
    """An image whose layers were taken in by their digests alone, beside others."""
    _layout(store)
    store.load(Path(store.path).with_name("layout"), verify="digest")


def _older(store: Store) -> None:
    """A store of format version 1, with a lease and a blob that nobody needs."""
    _garbage(store)
    store.leases.add("held", "base:1")
    make_older(store)


def _older_trash(store: Store) -> None:
    """A store of version 3, whose table of images in the trash is changed by an upgrade."""
    _trashed(store)
    make_older(store, 3)


def _older_pins(store: Store) -> None:
    _pinned(store)
    make_older(store, 2)


def _on_demand(store: Store) -> None:
    _chain(store)
    store.publish(on_demand=True)


def _withdrawn(store: Store) -> None:
    _on_demand(store)
    store.remove(["other:2"])


def _dangling(store: Store) -> None:
    _chain(store)
    store.load(str(ARCHIVES / "untagged.tar"))


def _many(store: Store) -> None:
    """So many blobs that they are flushed, and unlinked, by several threads."""
    images = [
        {"layers": [layer("common"), layer(str(number))], "tags": [f"many/{number}:1"]}
        for number in range(20)
    ]
    store.load(io.BytesIO(docker_archive(*images)))


def _large(store: Store) -> None:
    """An image whose archive is so large that several threads write it, past the page cache."""
    content = tar_of({"file": b"".join(b"%015d\n" % line for line in range(LARGE // 16))})
    store.load(io.BytesIO(docker_archive({"layers": [content], "tags": ["large:1"]})))


def _looked_into(store: Store) -> None:
    """Each layer has a table of contents."""
    _chain(store)
    backend, view = store.session.backend, store.session.view()
    for blob in view.all_blobs():
        record = view.layer(blob.digest)
        if record is None:
            continue
        draft = backend.contents.draft()
        assert draft is not None
        with open_framed(backend.blobs.open(record.digest), record) as content:
            scan_layer(content.pieces(), record.digest, draft, io.BytesIO)
        backend.contents.keep(draft, record.digest)
    assert os.listdir(Path(store.path, "contents"))


def _bad_tables(store: Store) -> None:
    """One table of contents is damaged, and one is nobody's."""
    _looked_into(store)
    tables = Path(store.path, "contents")
    damaged = min(tables.iterdir())
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (tables / hashlib.sha256(b"nobody's").hexdigest()).write_bytes(b"")


def _leased(store: Store) -> None:
    _chain(store)
    store.leases.add("held", "app:1")


def _garbage(store: Store) -> None:
    _chain(store)
    store.leases.add("over", "app:1", ttl_seconds=0.0)
    orphan = b"nobody needs this"
    Path(store.path, "blobs", "sha256", hashlib.sha256(orphan).hexdigest()).write_bytes(orphan)
    Path(store.path, "ingest", "load-1-0123456789ab").mkdir()
    Path(store.path, "ingest", "load-1-0123456789ab", "draft-1").write_bytes(b"half")
    Path(store.path, "ingest", "load-1-0123456789ab.lock").write_bytes(b"")


def _sealed(store: Store) -> None:
    _chain(store)
    store.encrypt("app:1", "sealed:1", [("jwe", (KEYS / "jwe-ec.pub.pem").read_bytes())])
    store.remove(["app:1", "other:2"])


def _wrong_counts(store: Store) -> None:
    _chain(store)
    store.close()
    with closing(sqlite3.connect(os.path.join(store.path, "casstore.db"))) as connection:
        connection.execute("UPDATE blob SET refcount = refcount + 1")
        connection.commit()


def _corrupt_layer(store: Store) -> None:
    _chain(store)
    view = store.session.view()
    layer = max(
        (blob for blob in view.all_blobs() if blob.kind == "layer"), key=lambda blob: blob.size
    )
    path = Path(store.path, "blobs", "sha256", layer.digest.hex)
    path.chmod(0o644)
    path.write_bytes(bytes(reversed(path.read_bytes())))


def _corrupt_database(store: Store) -> None:
    _chain(store)
    store.close()
    Path(store.path, "casstore.db").write_bytes(b"this is no database" * 500)


def _trashed(store: Store) -> None:
    _chain(store)
    store.remove(["app:1", "other:2"], keep=86400.0)


def _expired(store: Store) -> None:
    _chain(store)
    store.remove(["app:1", "other:2"], keep=1e-9)


def _log_left(store: Store) -> None:
    """SQLite's log holds the last change, as after any command: it is not in the database yet."""
    _chain(store)
    _leave_log(store)


def _leave_log(store: Store) -> None:
    store.close()
    root = Path(store.path)
    with closing(sqlite3.connect(root / "casstore.db")) as connection:
        connection.execute("SELECT count(*) FROM blob").fetchall()  # not the last to close
        with Store(store.path) as other:
            other.tag("base:1", "logged:1")
        log = (root / "casstore.db-wal").read_bytes()
        database = (root / "casstore.db").read_bytes()
    (root / "casstore.db").write_bytes(database)
    (root / "casstore.db-wal").write_bytes(log)


def _with_log(prepare: Callable[[Store], None]) -> Callable[[Store], None]:
    def prepared(store: Store) -> None:
        prepare(store)
        _leave_log(store)

    return prepared


def _pinned(store: Store) -> None:
    _chain(store)
    store.pin("app:1")


def _pushed_to(store: Store) -> None:
    """A store whose app:1 a client has pushed; the same image has another name."""
    _chain(store)
    if client.main(["--store", store.path, "push", "library/app:1"]):
        raise AssertionError("the push failed")
    store.tag("app:1", "other:2")


def _to_push(store: Store) -> None:
    _chain(store)
    store.tag("app:1", _in_registry("pushed:1"))


def _tree(store: Store) -> None:
    """An image with directories, links and a file that a layer above replaces."""
    below = tar_of_members(
        (member("d", tarfile.DIRTYPE), b""),
        (member("d/old"), b"old"),
        (member("d/e", tarfile.DIRTYPE), b""),
        (member("d/e/file"), b"content" * 1000),
        (member("link", tarfile.SYMTYPE, "d/e"), b""),
    )
    above = tar_of_members(
        (member("d/again", tarfile.LNKTYPE, "d/e/file"), b""),
        (member("d/old"), b"new"),
        (member("z"), b"z"),
    )
    store.load(io.BytesIO(docker_archive({"layers": [below, above], "tags": ["tree:1"]})))


def _older_tree(out: Path) -> None:
    """A directory that has files of the same names, and others."""
    out.mkdir()
    (out / "mine").write_bytes(b"mine")
    (out / "z").write_bytes(b"another")
    (out / "link").symlink_to("mine")


def _in_registry(name: str) -> str:
    return f"{os.environ[REGISTRY]}/{name}"


SCENARIOS = (
    Scenario("load into nothing", "load -i A/chain.tar", _nothing),
    Scenario("load beside", "load -i A/fork.tar", _chain),
    Scenario("load again", "load -i A/chain.tar", _chain),
    Scenario("load over names", "load -i A/web-new.tar", lambda s: _load(s, "web-old.tar")),
    Scenario("load that moves names between the forms of an image", "load -i A/chain-noparent.tar",
             _two_forms),
    Scenario("load by links", "load --link -i LAYOUT", _layout),
    Scenario("load of a thin archive", "load -i LAYOUT", _thin),
    Scenario("load of a delta", "load -i LAYOUT", _delta),
    Scenario("load of digests alone", "load --verify digest -i LAYOUT", _layout),
    Scenario("load of what was taken in by its digest", "load --verify all -i LAYOUT", _promised),
    Scenario("gc that settles layers", "gc", _promised, in_turns=True),
    Scenario("fsck that settles layers", "fsck", _promised, in_turns=True),
    Scenario("rmi of one of two forms", "rmi base:1", _two_forms),
    Scenario("tag", "tag app:1 new:1", _chain),
    Scenario("tag that moves", "tag base:1 other:2", _chain),
    Scenario("tag after a command", "tag app:1 new:1", _log_left),
    Scenario("tag that moves after a command", "tag base:1 other:2", _log_left),
    Scenario("load after a command", "load -i A/fork.tar", _log_left),
    Scenario("rmi after a command", "rmi other:2 app:1", _log_left),
    Scenario("rmi of a name after a command", "rmi other:2", _log_left),
    Scenario("prune of all after a command", "prune -af", _log_left),
    Scenario("gc after a command", "gc", _with_log(_garbage)),
    Scenario("lease add after a command", "lease add keep app:1", _log_left),
    Scenario("trash empty after a command", "trash empty", _with_log(_trashed)),
    Scenario("tag beside a copy by links", "tag app:1 new:1", _log_left, linked=True),
    Scenario("rmi beside a copy by links", "rmi other:2 app:1", _chain, linked=True),
    Scenario("rmi", "rmi other:2 app:1", _chain),
    Scenario("rmi of a name", "rmi other:2", _chain),
    Scenario("rmi by force", "rmi -f 2f3bb8fe9ddd", _chain),
    Scenario("rmi in an older store", "rmi other:2 app:1", _older),
    Scenario("gc of an older store", "gc", _older, in_turns=True),
    Scenario("restore in a store of version 3", "restore app:1", _older_trash),
    Scenario("load into a store of version 3", "load -i A/fork.tar", _older_trash,
             takes_trash=True),
    Scenario("tag in a store of version 2", "tag app:1 new:1", _older_pins),
    Scenario("ls that looks first", "ls -R app:1", _chain),
    Scenario("rmi of what was looked into", "rmi other:2 app:1", _looked_into),
    Scenario("gc of a table that is nobody's", "gc", _bad_tables),
    Scenario("fsck --repair of tables", "fsck --repair", _bad_tables),
    Scenario("rmi --dry-run", "rmi --dry-run other:2 app:1", _log_left),
    Scenario("prune --dry-run", "prune -a --dry-run", _dangling),
    Scenario("gc --dry-run", "gc --dry-run", _garbage),
    Scenario("rmi in a store published on demand", "rmi other:2 app:1", _on_demand),
    Scenario("rmi after a command in a store published on demand", "rmi other:2 app:1",
             _with_log(_on_demand)),
    Scenario("publish", "publish", _withdrawn),
    Scenario("publish always", "publish --mode always", _withdrawn),
    Scenario("prune", "prune -f", _dangling),
    Scenario("prune of all", "prune -af", _dangling),
    Scenario("prune of many", "prune -af", _many),
    Scenario("gc", "gc", _garbage),
    Scenario("gc with a policy", "gc --keep 0 --min-age 0s --protect other:2", _dangling,
             in_turns=True),
    Scenario("import", "import A/rootfs.tar imported:1", _chain, new_ids=True),
    Scenario("save", "save -o OUT app:1", _chain),
    Scenario("save of a large image", "save -o OUT large:1", _large),
    Scenario("save as oci", "save --format oci -o OUT app:1 base:1", _chain),
    Scenario("save to a layout", "save --format oci-dir -o OUT app:1", _chain),
    Scenario("save to files", "save --format dir -o OUT app:1", _chain),
    Scenario("fsck --repair of counts", "fsck --repair", _wrong_counts,
             damaged=frozenset({"refcount-wrong"})),
    Scenario("fsck --repair of a blob", "fsck --repair", _corrupt_layer,
             damaged=frozenset({"blob-corrupt", "blob-missing"}), status=12),
    Scenario("fsck --repair-from", "fsck --repair-from A/chain.tar", _corrupt_layer,
             damaged=frozenset({"blob-corrupt", "blob-missing"})),
    Scenario("fsck --rebuild", "fsck --rebuild", _chain),
    Scenario("fsck --rebuild after a command", "fsck --rebuild", _log_left),
    Scenario("rmi without its database", "rmi app:1", _corrupt_database),
    Scenario("rmi into the trash", "rmi --keep 24h other:2 app:1", _chain),
    Scenario("prune into the trash", "prune -af --keep 24h", _dangling),
    Scenario("restore", "restore app:1", _trashed),
    Scenario("trash empty", "trash empty", _trashed),
    Scenario("load of what is in the trash", "load -i A/chain.tar", _trashed),
    Scenario("gc of what has expired", "gc", _expired),
    Scenario("pin", "pin app:1", _chain),
    Scenario("unpin", "unpin app:1", _pinned),
    Scenario("config set", "config set trash.keep 24h", _chain),
    Scenario("config unset", "config unset publish", _on_demand),
    Scenario("lease add", "lease add keep app:1", _chain),
    Scenario("lease rm", "lease rm held", _leased),
    Scenario("lease run", "lease run app:1 -- true", _chain),
    Scenario("sign", "sign --key K/jwe-ec.key.der app:1", _chain, new_ids=True),
    Scenario("encrypt", "encrypt --recipient jwe:K/jwe-ec.pub.pem app:1 sealed:1", _chain),
    Scenario("decrypt", "decrypt --key K/jwe-ec.key.der sealed:1 opened:1", _sealed),
    Scenario("copy out", "copy app:1 oci-archive:OUT", _chain),
    Scenario("copy to a layout", "copy app:1 oci:OUT", _chain),
    Scenario("copy to files", "copy app:1 dir:OUT", _chain),
    Scenario("copy in", "copy docker-archive:A/fork.tar:app2:1 copied:1", _chain),
    Scenario("report", "report -o OUT", _chain),
    Scenario("export", "export -o OUT tree:1", _tree),
    Scenario("unpack", "unpack tree:1 OUT", _tree, unpacks=True),
    Scenario("unpack to an empty directory", "unpack tree:1 OUT", _tree, unpacks=True,
             there=Path.mkdir),
    Scenario("unpack by force", "unpack --force tree:1 OUT", _tree, unpacks=True,
             there=_older_tree),
    Scenario("cp of a directory", "cp tree:1:/. OUT", _tree, unpacks=True),
    Scenario("pull", "pull -q R/app:1", _nothing),
    Scenario("pull beside", "pull -q R/base:1", lambda s: _load(s, "fork.tar")),
    Scenario("push", "push -q R/pushed:1", _to_push),
    Scenario("a client's push", "push team/app:1", _chain, by_client=True),
    Scenario("a client's push again", "push library/app:1", _pushed_to, by_client=True),
    Scenario("a client's delete", "delete library/app:1", _pushed_to, by_client=True),
)  # fmt: skip


def _load(store: Store, archive: str) -> None:
    store.load(str(ARCHIVES / archive))


def named(name: str) -> Scenario:
    """The scenario of that name."""
    return next(one for one in SCENARIOS if one.name == name)
