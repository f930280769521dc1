"""Every command is the first one on every kind of store that comes from elsewhere.

The commands are those of the table in cli/main.py: a new one fails here until it has its words.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore.cli import main as main_module
from casstore.cli.main import COMMANDS, HIDDEN, load_command
from casstore.store import Store
from tests.transfer.building import Layout, docker_archive, layer, tar_of

ARCHIVE = docker_archive({"layers": [layer("new")], "tags": ["new:1"]})
KEY, PUBLIC, RSA, RSA_PUBLIC = "@key", "@public", "@rsa", "@rsa-public"
TAR, ROOTFS, OUT, POLICY = "@tar", "@rootfs", "@out", "@policy"

# Words of a command, by its name; several, where one is not enough. `app:1` is in the store.
WORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "__complete": (("images", "a"),),
    "cat": (("app:1:/file",),),
    "config ls": ((),),
    "config get": (("trash.keep",),),
    "config set": (("trash.keep", "1h"),),
    "config unset": (("trash.keep",),),
    "copy": (("app:1", f"oci:{OUT}"), (f"docker-archive:{TAR}", "new:2"), ("app:1", "again:1")),
    "cp": (("app:1:/file", OUT),),
    "decrypt": (),
    "df": ((), ("-v",)),
    "diff": (("app:1", "app:1"),),
    "encrypt": (("--recipient", f"jwe:{RSA_PUBLIC}", "app:1", "secret:1"),),
    "export": (("-o", OUT, "app:1"),),
    "events": (("--until", "0s"),),
    "fsck": (("--repair",), ("--rebuild",), ("--quick",)),
    "gc": ((), ("--dry-run",), ("--keep", "5"), ("--keep", "5", "--dry-run")),
    "history": (("app:1",),),
    "images": ((), ("-q",)),
    "import": ((ROOTFS, "imported:1"),),
    "inspect": (("app:1",), ("--attestations", "app:1")),
    "key generate": (),
    "key public": (),
    "lease add": (("night", "app:1"),),
    "lease ls": ((),),
    "lease rm": (),
    "lease run": (("app:1", "--", "true"),),
    "load": (("-i", TAR),),
    "login": (),
    "logout": (),
    "ls": (("app:1",),),
    "pin": (("app:1",),),
    "prune": (("-f",), ("-f", "-a", "--dry-run"), ("-f", "-a")),
    "publish": ((), ("--mode", "on-demand")),
    "pull": (),
    "push": (),
    "report": (("-o", OUT), ("--files", "-o", OUT)),
    "restore": (),
    "rmi": (("app:1",), ("--dry-run", "app:1"), ("--keep", "1h", "app:1")),
    "save": (
        ("-o", OUT, "app:1"),
        ("-o", OUT, "--format", "oci-dir", "app:1"),
        ("-o", OUT, "--format", "dir", "app:1"),
    ),
    "sbom": (),
    "serve": (),
    "sign": (("--key", KEY, "app:1"),),
    "tag": (("app:1", "app:2"),),
    "trash ls": ((),),
    "trash empty": ((),),
    "tree": ((), ("--layers", "app:1")),
    "unpack": (("app:1", OUT),),
    "unpin": (("app:1",),),
    "verify": (),
    "why": (("app:1",),),
}
# These need something that must be made before, or a registry, or end by a signal alone;
# tests/registry and tests/server have the latter.
NEED_MORE = {
    "decrypt", "key generate", "key public", "lease rm", "login", "logout", "pull", "push",
    "restore", "sbom", "serve", "verify",
}  # fmt: skip


def every_command() -> Iterator[str]:
    for name in (*COMMANDS, *HIDDEN):
        below = getattr(load_command(name), "SUBCOMMANDS", None)
        yield from ([f"{name} {one}" for one in below] if below else [name])


def layout(root: Path, **annotations: str) -> None:
    """As skopeo, umoci and buildah leave one: nothing of casstore's, gzip layers, a bare tag."""
    made = Layout()
    made.publish(made.image("base", "top"), "app:1", **annotations)
    made.write(str(root))


def whole(root: Path) -> None:
    layout(root)
    with Store(str(root)) as store, store.session.change() as change:
        change.commit()


def without(*parts: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        whole(root)
        for part in parts:
            path = root / part
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return make


def in_a_place_of_its_own(root: Path) -> None:
    whole(root.parent / "original")
    shutil.copytree(root.parent / "original", root)


KINDS: dict[str, Callable[[Path], None]] = {
    "a layout of another tool": layout,
    "a store without its empty directories": without("ingest", "casstore.reserve"),
    "a store without its database": without("casstore.db", "casstore.db-wal", "casstore.db-shm"),
    "a store without its lock": without("casstore.lock"),
    "a store of which only the layout is left": without(
        "ingest",
        "casstore.reserve",
        "casstore.db",
        "casstore.lock",
        "casstore.uses",
        "casstore.events",
    ),
    "a store without index.json": without("index.json"),
    "a copy": in_a_place_of_its_own,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What commands read besides a store."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    directory = tmp_path_factory.mktemp("files")
    pem, plain = form.Encoding.PEM, form.NoEncryption()
    curve, large = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    public = form.PublicFormat.SubjectPublicKeyInfo
    contents = {
        KEY: curve.private_bytes(pem, form.PrivateFormat.PKCS8, plain),
        PUBLIC: curve.public_key().public_bytes(pem, public),
        RSA_PUBLIC: large.public_key().public_bytes(pem, public),
        TAR: ARCHIVE,
        ROOTFS: tar_of({"file": b"root"}),
    }
    for name, data in contents.items():
        (directory / name[1:]).write_bytes(data)
    return {name: str(directory / name[1:]) for name in contents}


def test_every_command_has_words_here() -> None:
    commands = set(every_command())

    assert commands == set(WORDS)
    assert {name for name, words in WORDS.items() if not words} == NEED_MORE


# What fsck says of a store that did lose something, as long as no change has mended it.
TOLD = {
    ("fsck --quick", "a store without its database"): 12,
    ("fsck --quick", "a store without index.json"): 12,
    ("fsck --quick", "a store of which only the layout is left"): 12,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "words",
    [(*name.split(), *words) for name, each in WORDS.items() for words in each],
    ids=" ".join,
)
def test_a_command_works_as_the_first_one_and_leaves_a_clean_store(
    kind: str,
    words: tuple[str, ...],
    files: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "store"
    KINDS[kind](root)
    places = {**files, OUT: str(tmp_path / "out")}
    given = [_placed(word, places) for word in words]

    status = main_module.main(("--store", str(root), *given))

    said = capsys.readouterr()
    expected = TOLD.get((" ".join(words), kind), 0)
    assert (status, _without_sums(said.err)) == (expected, ""), said.out
    with Store(str(root)) as store:
        store.tag(store.images()[0].id, "after:1") if store.images() else store.gc()
        assert [one for one in store.check().findings if one.level != "note"] == []


def _without_sums(said: str) -> str:
    """What a dry run says at its end on stderr is no complaint."""
    return "".join(line for line in said.splitlines() if not line.startswith("Would free "))


def _placed(word: str, places: dict[str, str]) -> str:
    for name, path in sorted(places.items(), reverse=True):
        word = word.replace(name, path)
    return word


def test_a_pull_into_a_layout_of_another_tool_stages_where_it_can(tmp_path: Path) -> None:
    layout(tmp_path / "store")
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))

        assert sorted(n.familiar for i in store.images() for n in i.names) == ["app:1", "new:1"]
    assert os.listdir(tmp_path / "store" / "ingest") == []
