"""What is tried: every kind of input that a person hands to casstore, with something changed."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from random import Random

from tests.property import trees
from tests.property.mutation import bitten, document_of, exchanged, garbled, mutated, reworded
from tests.property.phrases import INSTRUCTIONS, PHRASES, POLICIES, TOKENS
from tests.property.victim import FIXTURES, Kind, Victim, Wrong

SIGNED = FIXTURES / "images" / "signed"
ENCRYPTED = FIXTURES / "images" / "encrypted"
SIGNED_NAME = "registry.example.org/signed/app:1"
KEY = str(SIGNED / "keys" / "cosign.pub")


@functools.cache
def archives() -> list[bytes]:
    """The small archives among the fixtures."""
    paths = sorted({*FIXTURES.glob("transcripts/archives/*.tar"), *FIXTURES.glob("images/*/*.tar")})
    return [path.read_bytes() for path in paths if path.stat().st_size < trees.MOST]


@functools.cache
def seeds() -> list[trees.Tree]:
    return trees.trees(FIXTURES)


def archive(victim: Victim, chance: Random) -> None:
    """A changed archive is loaded, or refused without a change."""
    data = mutated(chance.choice(archives()), chance)
    _load(victim, victim.inputs / "input.tar", data, chance)


def compressed(victim: Victim, chance: Random) -> None:
    """The same, compressed and changed after that."""
    data = chance.choice(archives())
    if chance.random() < 0.3:
        data = mutated(data, chance)
    data = trees.COMPRESSED[chance.choice(sorted(trees.COMPRESSED))](data)
    _load(victim, victim.inputs / "input.tar", bitten(data, chance), chance)


def tree(victim: Victim, chance: Random) -> None:
    """A layout or archive whose documents were changed, mostly with digests that are right."""
    changed = trees.changed(chance.choice(seeds()), chance)
    _load(victim, victim.inputs / "input.tar", trees.tar(changed), chance)


def _load(victim: Victim, path: Path, data: bytes, chance: Random) -> None:
    path.write_bytes(data)
    if chance.random() < 0.9:
        status = victim.offer("load", "-i", str(path), "--compression", _method(chance))
    else:
        status = victim.offer("load", stdin=data)
    if not status:
        _again(victim)


def _method(chance: Random) -> str:
    return chance.choice(("zstd", "zstd", "none", "gzip"))


def _again(victim: Victim) -> None:
    """What was loaded is told and saved, and what was saved can be loaded."""
    victim.run("images", "-a", "--digests", "--no-trunc", fails=False)
    victim.run("images", "-q", "-a", "--no-trunc", fails=False)
    ids = list(dict.fromkeys(victim.out.split()))
    victim.run("inspect", *ids, fails=False)
    for one in ids:
        victim.run("history", one, fails=False)
    saved = victim.inputs / "saved"
    for form in ("docker", "oci"):
        # An index whose platforms are not all here, or an artifact, has no docker archive.
        if victim.run("save", "-o", str(saved), "--format", form, *ids):
            continue
        # dockerd takes images of its own system only; layouts may hold others.
        if victim.offer("load", "-i", str(saved)) and "image on linux" not in victim.said:
            raise Wrong(f"what was saved is not taken: {victim.said}")


def layout(victim: Victim, chance: Random) -> None:
    """The same as a directory, also with something that is no file in the place of one."""
    layouts = [one for one in seeds() if trees.is_layout(one)]
    folder = victim.inputs / "layout"
    tree = chance.choice(layouts)
    if chance.random() < 0.75:
        tree = trees.changed(tree, chance)
    tree = {name: data for name, data in tree.items() if ".." not in name and name[0] != "/"}
    folder.mkdir()
    trees.write(tree, folder)
    if chance.random() < 0.4:
        trees.spoilt(folder, victim.secret, chance)
    ways = (["load", "-i", str(folder)], ["load", "--link", "-i", str(folder)],
            ["copy", "--all", f"oci:{folder}", "new:1"],
            ["copy", f"oci:{folder}:1", "new:1"])  # fmt: skip
    if victim.offer(*chance.choice(ways)) == 0:
        _again(victim)


def repair(victim: Victim, chance: Random) -> None:
    """A damaged store gets its blobs from a source that is changed: the right ones, or none."""
    source = (FIXTURES / "transcripts" / "archives" / "chain.tar").read_bytes()
    path = victim.inputs / "source"
    path.write_bytes(mutated(source, chance))
    blobs = sorted((victim.store / "blobs" / "sha256").iterdir())
    victim.changes()
    hurt = chance.choice(blobs)
    if chance.random() < 0.5:
        hurt.unlink()
    else:
        data = hurt.read_bytes()
        hurt.chmod(0o644)  # a blob is read-only, which stops all but root
        hurt.write_bytes(bitten(data, chance))
    victim.run("fsck", "--repair", "--repair-from", str(path))
    healed = victim.run("fsck") == 0
    if healed:
        victim.run("save", "-o", str(victim.inputs / "saved"), "app:1", fails=False)


def rootfs(victim: Victim, chance: Random) -> None:
    """A root file system, compressed or not, and instructions for its config."""
    data = mutated((FIXTURES / "transcripts" / "archives" / "rootfs.tar").read_bytes(), chance)
    if chance.random() < 0.5:
        data = trees.COMPRESSED[chance.choice(sorted(trees.COMPRESSED))](data)
        if chance.random() < 0.5:
            data = bitten(data, chance)
    path = victim.inputs / "rootfs"
    path.write_bytes(data)
    words = []
    for _ in range(chance.randint(0, 2)):
        words += ["-c", garbled(INSTRUCTIONS, TOKENS, chance)]
    if chance.random() < 0.2:
        words += ["--platform", garbled(("linux/arm64/v8", "windows/amd64", "a"), TOKENS, chance)]
    if chance.random() < 0.2:
        words += ["-m", garbled(("a message",), TOKENS, chance)]
    if chance.random() < 0.2:
        words += ["--parent", "app:1"]
    if victim.offer("import", *_printable(words), str(path), "imported:1") == 0:
        _again(victim)


def _printable(words: list[str]) -> list[str]:
    """Words as a command line can hold them: no NUL, and nothing that UTF-8 cannot say."""
    return [
        word.replace("\0", "").encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
        for word in words
    ]


def words(victim: Victim, chance: Random) -> None:
    """Names, filters, templates, durations, sizes, numbers of entries: all that is a word."""
    command, examples = chance.choice(PHRASES)
    text = garbled(examples, TOKENS, chance)
    victim.changes()
    victim.run(*_printable([part.replace("%", text) if "%" in part else part
                            for part in command.split()]))  # fmt: skip
    victim.run("fsck", fails=False)


def gc_policy(victim: Victim, chance: Random) -> None:
    """A policy of gc: it is understood, or each mistake is told; gc leaves a clean store."""
    path = victim.inputs / "policy.toml"
    text = garbled(POLICIES, TOKENS, chance).encode("utf-8", "surrogatepass")
    path.write_bytes(bitten(text, chance) if chance.random() < 0.2 else text)
    victim.changes()
    victim.run("gc", "--policy", str(path), *chance.choice(((), ("--dry-run",))))
    victim.run("fsck", fails=False)


def gc_plan(victim: Victim, chance: Random) -> None:
    """A saved plan that was changed: it holds, or nothing is done."""
    path = victim.inputs / "plan.json"
    victim.changes()
    victim.run("gc", "--keep", "0", "--min-age", "0s", "--save-plan", str(path), fails=False)
    path.write_bytes(reworded(path.read_bytes(), chance))
    if victim.run("gc", "--plan", str(path)) == 2:
        raise Wrong(f"a plan is no usage: {victim.said}")
    victim.run("fsck", fails=False)


def trust(victim: Victim, chance: Random) -> None:
    """A trust policy that was changed, a key that was, signatures that were."""
    policy, key, folder = (victim.inputs / name for name in ("policy.json", "key.pub", "layout"))
    key.write_bytes(Path(KEY).read_bytes())
    requirement = {"type": "sigstoreSigned", "keyPath": str(key), "signedIdentity": {
        "type": "exactReference", "dockerReference": SIGNED_NAME}}  # fmt: skip
    text = json.dumps({
        "default": [{"type": "reject"}],
        "transports": {"oci": {"": [requirement]}, "docker": {"reg.example": [requirement]},
                       "oci-archive": {"/": [{"type": "insecureAcceptAnything"}]}},
    }).encode()  # fmt: skip
    images = next(one for one in _trees_in(SIGNED / "cosign-layout"))
    what = chance.randrange(4)
    policy.write_bytes(reworded(text, chance) if what < 2 else text)
    if what == 2:
        key.write_bytes(bitten(key.read_bytes(), chance))
    if what == 3:
        images = trees.noted(images, "cosign", chance) if chance.random() < 0.5 else trees.changed(
            images, chance)  # fmt: skip
    trees.write({name: one for name, one in images.items() if ".." not in name and name[0] != "/"},
                folder)  # fmt: skip
    victim.offer("load", "--policy", str(policy), "-i", str(folder))
    if victim.offer("load", "-i", str(folder)) == 0:
        victim.run("images", "-q", "--no-trunc", fails=False)
        ids = victim.out.split()
        victim.run("verify", "--key", str(key), "--identity", SIGNED_NAME, *ids)


def _trees_in(folder: Path) -> list[trees.Tree]:
    return [{str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
             if path.is_file()}]  # fmt: skip


def sealed(victim: Victim, chance: Random) -> None:
    """Encrypted layers whose annotations, keys or content were changed."""
    (images,) = _trees_in(ENCRYPTED / "layout")
    folder = victim.inputs / "layout"
    images = trees.noted(images, "enc", chance) if chance.random() < 0.8 else trees.changed(
        images, chance)  # fmt: skip
    trees.write({name: one for name, one in images.items() if ".." not in name and name[0] != "/"},
                folder)  # fmt: skip
    keys = [*sorted((ENCRYPTED / "keys").glob("*.key.der")), ENCRYPTED / "keys" / "pgp.key.gpg"]
    key = victim.inputs / "key"
    key.write_bytes(chance.choice(keys).read_bytes())
    if chance.random() < 0.15:
        key.write_bytes(bitten(key.read_bytes(), chance))
    if victim.offer("load", "-i", str(folder)) == 0:
        victim.run("images", "-q", "--no-trunc", fails=False)
        ids = list(dict.fromkeys(victim.out.split()))
        for one in chance.sample(ids, min(len(ids), 2)):
            victim.offer("decrypt", "--key", str(key), one, "clear:1")


def damage(victim: Victim, chance: Random) -> None:
    """A store with a file that was changed: every command says what it can, and names come back."""
    victim.run("images", "-a", "--digests", "--no-trunc", fails=False)
    good = victim.out
    path = victim.store / chance.choice(("index.json", "casstore.db", "casstore.db", "oci-layout"))
    data = path.read_bytes()
    if path.suffix == ".json" and chance.random() < 0.7:
        changed = json.dumps(exchanged(json.loads(data), chance)).encode("utf-8", "replace")
    else:
        changed = bitten(data, chance)
    victim.changes()
    (victim.inputs / path.name).write_bytes(changed)
    path.write_bytes(changed)
    commands = [["images", "-a"], ["fsck"], ["rmi", "-f", "nosuch:1"], ["gc"], ["df"], ["tree"],
                ["why", "app:1"], ["prune", "-f"], ["history", "app:1"],
                ["lease", "ls"]]  # fmt: skip
    for command in chance.sample(commands, 3):
        victim.run(*command)
    victim.run("fsck", "--repair")
    if path.name == "index.json":
        victim.run("fsck")
        if any(not line.startswith("warn index-kept") for line in victim.out.splitlines()):
            raise Wrong(f"after --repair fsck says {victim.out!r}")
        victim.run("images", "-a", "--digests", "--no-trunc", fails=False)
        if lost := set(good.splitlines()) - set(victim.out.splitlines()):
            raise Wrong(f"after --repair there is no {lost}")


def neighbour(victim: Victim, chance: Random) -> None:
    """Another tool wrote images into the store, with something wrong in what they say."""
    layouts = [
        one
        for one in seeds()
        if trees.is_layout(one) and b"manifests" in one.get("index.json", b"")
    ]
    tree = chance.choice(layouts)
    path = victim.store / "index.json"
    index, more = json.loads(path.read_bytes()), document_of(tree["index.json"])
    items = more.get("manifests") if isinstance(more, dict) else None
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(notes := item.setdefault("annotations", {}), dict):
            notes["io.casstore.image.parent"] = index["manifests"][0]["digest"]
            index["manifests"].append(item)
    for _ in range(chance.randint(1, 3)):
        index = exchanged(index, chance)
    victim.changes()
    trees.write(
        {name: data for name, data in tree.items() if name.startswith("blobs/")}, victim.store
    )
    path.write_text(json.dumps(index))
    (victim.inputs / "index.json").write_text(json.dumps(index))
    if chance.random() < 0.3:
        (victim.store / "casstore.db").unlink()
    victim.run("images", "-a")
    victim.run("tag", "app:1", "more:1")
    victim.run("gc")
    victim.run("fsck", "--repair")


KINDS: tuple[Kind, ...] = (
    archive, compressed, tree, tree, tree, layout, layout, repair, rootfs, words, words, gc_policy,
    gc_plan, trust, sealed, damage, neighbour,
)  # fmt: skip
