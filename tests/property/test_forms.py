"""Random histories of images in several forms, and of all that holds, names or refers to them.

The same config with gzip, zstd and plain layers, indexes over these, artifacts with subjects; names
that move among them by loads, tags, copies, pushes, signing, encryption and another tool's
index.json; removals with and without the trash; leases, pins, rebuilds. After every step the store
is what the model says (formsmodel.py), byte for byte, fsck finds nothing, and each name can be
saved. `tools/torture histories` runs it for as long as it is told.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import zstandard
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from casstore.change.leases import Lease
from casstore.errors import CasstoreError
from casstore.flows.selection import readable_top
from casstore.model.digest import Digest, sha256
from casstore.model.reference import Reference, parse_name
from casstore.results.exchange import PushedTag
from casstore.rules.collection import Step
from casstore.store import Store
from casstore.store.registries import Registries
from casstore.transfer.place import parse_place
from tests.property.formsmodel import Conflict, Model, read_document
from tests.property.rawindex import miscounted, strays
from tests.store.replaying import names_after
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    Layout,
    config_of,
    docker_archive,
    layer,
)

DAY = 86400.0
PARENT = "io.casstore.image.parent"
REF_NAME, IMAGE_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"
ARTIFACT = "application/vnd.example.sbom"

LAYERS = [layer(text) for text in ("one", "two", "three")]
STACKS = [(0,), (0, 1), (2,), (2, 0, 2)]
CONFIGS = [config_of(*(LAYERS[at] for at in stack), author=f"{stack}") for stack in STACKS]
IMAGES = [sha256(config) for config in CONFIGS]


def _gzip(layout: Layout, content: bytes) -> dict[str, Any]:
    return layout.blob(gzip.compress(content, mtime=0), OCI_LAYER + "+gzip")


def _zstd(layout: Layout, content: bytes) -> dict[str, Any]:
    return layout.blob(zstandard.ZstdCompressor(level=1).compress(content), OCI_LAYER + "+zstd")


def _plain(layout: Layout, content: bytes) -> dict[str, Any]:
    return layout.blob(content, OCI_LAYER)


class World:
    """All documents that histories load, and their blobs: always the same bytes."""

    def __init__(self) -> None:
        self.layout = layout = Layout()
        forms = {
            kind: [
                layout.manifest(
                    layout.blob(config, OCI_CONFIG), [form(layout, LAYERS[at]) for at in stack]
                )
                for config, stack in zip(CONFIGS, STACKS, strict=True)
            ]
            for kind, form in (("gzip", _gzip), ("zstd", _zstd), ("plain", _plain))
        }
        gz, zs, plain = forms["gzip"], forms["zstd"], forms["plain"]
        first, second = layout.index(gz[0], zs[1]), layout.index(zs[0], gz[2])
        nested = layout.index(first, plain[2])
        self.subjects = [gz[0], zs[0], first]
        empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
        artifacts = [
            layout.manifest(empty, [layout.blob(f"about {at}".encode(), ARTIFACT)], subject=subject)
            for at, subject in enumerate(self.subjects)
        ]
        artifacts.append(
            layout.manifest(empty, [layout.blob(b"about it", ARTIFACT)], subject=artifacts[0])
        )
        own = layout.blob(config_of(LAYERS[1], author="with a subject"), OCI_CONFIG)
        artifacts.append(layout.manifest(own, [_gzip(layout, LAYERS[1])], subject=zs[0]))
        self.tops = [*gz, *zs, *plain[:2], first, second, nested, *artifacts]
        self.documents = {}
        for top in [*self.tops, *plain]:
            known = read_document(self.blob(top["digest"]), self.blob)
            self.documents[known.digest] = known

    def blob(self, digest: str) -> bytes:
        return self.layout.files[f"blobs/sha256/{digest[7:]}"]


WORLD = World()
TOPS = [Digest(top["digest"]) for top in WORLD.tops]
TAGS = ["a:1", "a:2", "b:1", "c:latest"]
SCHEME = [f"a:sha256-{WORLD.subjects[at]['digest'][7:]}.sig" for at in (0, 2)]
LEASES = ["one", "two"]
# What another tool leaves writable, and layers that nobody can look into.
NOTES = ("blob-mode", "layer-encrypted")
KEY = ec.derive_private_key(7, ec.SECP256R1())
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

tops = st.integers(0, len(TOPS) - 1)
tags = st.sampled_from([*TAGS, *TAGS, *SCHEME])
choices = st.integers(0, 99)
keeps = st.sampled_from([0.0, 0.0, DAY])
# What a descriptor in a layout says: a tag, a digest reference in a repository, nothing.
namings = st.one_of(tags, tags, st.sampled_from(["a@", "b@", ""]))


def reference(text: str) -> Reference:
    return parse_name(text).reference


class Forms(RuleBasedStateMachine):
    """Everything that gives, moves and takes names, in any order.

    What cannot be done yet does nothing. A precondition would let the state choose what is drawn,
    and the state depends on chance: signatures and encrypted layers have other digests each time.
    """

    steps = 0
    histories = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="casstore-forms-")
        self.root = os.path.join(self.folder.name, "store")
        self.store = Store(self.root)
        self.model = Model(dict(WORLD.documents))
        self.signatures: set[Digest] = set()
        self.sealed: set[Digest] = set()
        self.held: dict[str, Lease] = {}
        self.begun_with: dict[Reference, Digest] = {}  # names that no event tells of
        self.events_begin = 0
        type(self).histories += 1

    def teardown(self) -> None:
        for lease in self.held.values():
            lease.release()
        self.store.close()
        self.folder.cleanup()

    @initialize()
    def a_store_is_made(self) -> None:
        self.store.load(io.BytesIO(docker_archive()))

    # What comes

    @rule(entries=st.lists(st.tuples(tops, namings), min_size=1, max_size=5))
    def load_a_layout(self, entries: list[tuple[int, str]]) -> None:
        layout = Layout()
        layout.files.update(WORLD.layout.files)
        given: list[tuple[Digest, Reference | None]] = []
        for at, short in entries:
            text = short + (TOPS[at] if short.endswith("@") else "")
            layout.publish(WORLD.tops[at], text or None)
            given.append((TOPS[at], reference(text) if text else None))
        self.store.load(layout.tar())
        for top, _ in given:
            self.model.admit(top)
        names = [name for _, name in given if name is not None]
        if len(set(names)) == len(names):  # then a manifest arrives once, with all its names
            order = list(dict.fromkeys(top for top, _ in given))
            given.sort(key=lambda one: order.index(one[0]))
            named = {top for top, name in given if name is not None}
            spared = [top for top, _ in given if top not in named]
        else:
            spared = [top for top, name in given if name is None]
        for top, name in given:
            if name is not None:
                self.model.attach(name, top)
        self.model.settle(spared=spared)

    @rule(at=tops, parent=st.sampled_from(IMAGES), tag=tags)
    def load_a_layout_that_tells_the_parent(self, at: int, parent: Digest, tag: str) -> None:
        layout = Layout()
        layout.files.update(WORLD.layout.files)
        layout.publish(WORLD.tops[at], tag, **{PARENT: parent})
        model = self.model.copy()
        model.admit(TOPS[at])
        model.attach(reference(tag), TOPS[at])
        allowed = model.link(model.documents[TOPS[at]].image, parent)
        assert self._succeeds(lambda: self.store.load(layout.tar())) is allowed
        if allowed:
            model.settle()
            self.model = model

    @rule(
        entries=st.lists(
            st.tuples(st.integers(0, len(IMAGES) - 1), st.lists(tags, max_size=2, unique=True)),
            min_size=1,
            max_size=3,
        ),
        linked=st.booleans(),
    )
    def load_an_archive(self, entries: list[tuple[int, list[str]]], *, linked: bool) -> None:
        """A docker archive has no manifest: that of the store is taken, if it has one."""
        images: list[dict[str, Any]] = []
        used: dict[Digest, Digest | None] = {}
        parents: list[tuple[Digest, Digest]] = []
        for at, texts in entries:
            one: dict[str, Any] = {
                "layers": [LAYERS[i] for i in STACKS[at]],
                "config": CONFIGS[at],
                "tags": texts or None,
            }
            if linked and images and IMAGES[at] != IMAGES[entries[0][0]]:
                one["parent"] = IMAGES[entries[0][0]]
                parents.append((IMAGES[at], IMAGES[entries[0][0]]))
            images.append(one)
            used[IMAGES[at]] = self._readable(IMAGES[at])
        model = self.model.copy()
        succeeded = self._succeeds(lambda: self.store.load(io.BytesIO(docker_archive(*images))))
        new = [image for image, top in used.items() if top is None]
        if succeeded:
            for image in new:
                (found,) = (
                    top.digest
                    for top in self.store.session.view().tops_of(image)
                    if top.digest not in self.sealed
                )
                used[image] = self._learn(found)
        if not succeeded:
            for child, parent in parents:
                model.parents.setdefault(child, None)
                model.parents.setdefault(parent, None)
            assert not all(model.link(child, parent) for child, parent in parents)
            return
        tops = {image: top for image, top in used.items() if top is not None}
        for at, _ in entries:
            model.admit(tops[IMAGES[at]])
        spared = [tops[IMAGES[at]] for at, texts in entries if not texts]
        for at, texts in entries:
            for text in texts:
                model.attach(reference(text), tops[IMAGES[at]])
        assert all(model.link(child, parent) for child, parent in parents)
        model.settle(spared=spared)
        self.model = model

    def _readable(self, image: Digest) -> Digest | None:
        """Which of several manifests in the clear counts is the store's choice: its oldest."""
        clear = [top for top in self.model.held.get(image, ()) if top not in self.sealed]
        if not clear:
            return None
        top = readable_top(self.store.session.view(), image).digest
        assert top in clear
        return top

    @rule(choice=choices, by_id=st.booleans(), new=tags)
    def tag(self, choice: int, *, by_id: bool, new: str) -> None:
        if not self.model.held:
            return
        name = self._some_name(choice)
        if name is None or by_id:
            image = self._some_image(choice)
            argument: str = image
            top = self.store.session.view().tops_of(image)[0].digest
        else:
            argument, top = name.familiar, self.model.names[name][1]
        self.store.tag(argument, new)
        self.model.attach(reference(new), top)
        self.model.settle()

    @rule(choice=choices, new=tags)
    def copy(self, choice: int, new: str) -> None:
        if not self.model.names:
            return
        name = self._a_name(choice)
        top = self.model.names[name][1]
        self.store.copy_in(parse_place(f"casstore:{name}"), new, whole=True)
        self.model.admit(top)
        self.model.attach(reference(new), top)
        self.model.settle()

    @rule(choice=choices)
    def record_a_push(self, choice: int) -> None:
        """As a push does when all has been sent."""
        if not self.model.names:
            return
        name = self._a_name(choice)
        image, top = self.model.names[name]
        Registries(self.store.session)._record([PushedTag(name, image, top, 0)])
        self.model.attach(Reference(f"{name.repository}@{top}"), top)
        self.model.settle()

    @rule(choice=choices, twice=st.booleans())
    def sign(self, choice: int, *, twice: bool) -> None:
        if not self.model.names:
            return
        name = self._a_name(choice)
        top = self.model.names[name][1]
        text = f"{name.repository}:sha256-{top.hex}.sig"
        older = self.model.names.get(Reference(text))
        if older is not None and older[1] not in self.signatures:
            assert not self._succeeds(lambda: self.store.sign([name], PRIVATE))
            return
        for _ in range(1 + twice):
            (signed,) = self.store.sign([name], PRIVATE)
            self.signatures.add(signed.manifest)
            older = self.model.names.get(Reference(text))
            self.model.admit(self._learn(signed.manifest))
            self.model.attach(Reference(text), signed.manifest)
            if older is not None and not self.model.names_of(older[0]):
                self._remove_quietly(older[0], prune=False)
            self.model.settle()

    def _remove_quietly(self, image: Digest, *, prune: bool) -> None:
        try:
            self.model.remove_image(image, force=False, prune=prune)
        except Conflict:
            pass

    @rule(choice=choices)
    def sign_as_a_referrer(self, choice: int) -> None:
        if not self.model.names:
            return
        name = self._a_name(choice)
        (signed,) = self.store.sign([name], PRIVATE, kind="referrer")
        self.model.admit(self._learn(signed.manifest))
        self.model.settle()

    @rule(choice=choices, new=tags)
    def encrypt(self, choice: int, new: str) -> None:
        if not self._encryptable():
            return
        names = self._encryptable()
        name = names[choice % len(names)]
        top = self.store.encrypt(name.familiar, new, [("jwe", PUBLIC)])
        self.sealed.add(top)
        self.model.admit(self._learn(top))
        self.model.attach(reference(new), top)
        self.model.settle()

    def _encryptable(self) -> list[Reference]:
        return [
            name
            for name, (image, top) in self.model.names.items()
            if image in IMAGES and top not in self.sealed
        ]

    @rule(choice=choices, new=tags)
    def decrypt(self, choice: int, new: str) -> None:
        if not self._encrypted():
            return
        names = self._encrypted()
        top = self.store.decrypt(names[choice % len(names)].familiar, new, [(PRIVATE, None)])
        self.model.admit(self._learn(top))
        self.model.attach(reference(new), top)
        self.model.settle()

    def _encrypted(self) -> list[Reference]:
        return [name for name, (_, top) in self.model.names.items() if top in self.sealed]

    @rule(
        moves=st.lists(st.tuples(tops, namings), min_size=1, max_size=3),
        first=st.booleans(),
        stale=st.booleans(),
    )
    def another_tool_writes_index_json(
        self, moves: list[tuple[int, str]], *, first: bool, stale: bool
    ) -> None:
        self.store.publish(on_demand=False)
        path = f"{self.root}/index.json"
        with open(path, encoding="utf-8") as file:
            index = json.load(file)
        ours = "io.casstore.index.generation"
        if stale:
            index["annotations"][ours] = f"{int(index['annotations'][ours]) - 1:020}"
        new = []
        for at, short in moves:
            text = short + (TOPS[at] if short.endswith("@") else "")
            for blob in self.model.below(TOPS[at]):
                target = f"{self.root}/blobs/sha256/{blob.hex}"
                if not os.path.exists(target):
                    with open(target, "wb") as file:
                        file.write(WORLD.blob(blob))
            annotations = {REF_NAME: text} if text else {}
            for one in index["manifests"]:
                if text and one.get("annotations", {}).get(REF_NAME) == reference(text).familiar:
                    del one["annotations"]  # as skopeo does
            new.append({**WORLD.tops[at], "annotations": annotations})
        listed = index["manifests"]
        index["manifests"] = new + listed if first else listed + new
        with open(path, "w", encoding="utf-8") as file:
            json.dump(index, file, indent=1)
        self.store.publish()
        for one in index["manifests"]:
            top = Digest(one["digest"])
            text = one.get("annotations", {}).get(REF_NAME)
            name = reference(text) if text else None
            known = any(top in held for held in self.model.held.values())
            if known and (name is None or self.model.names.get(name, ("", ""))[1] == top):
                continue
            if not known:
                self.model.admit(top)
            if name is not None and (not stale or name not in self.model.names):
                self.model.attach(name, top)
        self.model.settle()

    # What goes

    @rule(
        arguments=st.lists(st.tuples(choices, st.booleans()), min_size=1, max_size=3),
        force=st.booleans(),
        prune=st.booleans(),
        keep=keeps,
    )
    def remove(
        self, arguments: list[tuple[int, bool]], *, force: bool, prune: bool, keep: float
    ) -> None:
        if not self.model.held:
            return
        words: list[str] = []
        for choice, by_id in arguments:
            name = self._some_name(choice)
            words.append(self._some_image(choice) if by_id or name is None else name.familiar)
        size = self._bytes()
        said = self.store.remove(words, force=force, prune=prune, keep=keep, dry_run=True)
        result = self.store.remove(words, force=force, prune=prune, keep=keep)
        assert [one.lines for one in said.outcomes] == [one.lines for one in result.outcomes]
        assert said.freed == result.freed == size - self._bytes()
        entries: dict[Digest, int] = {}
        for word, outcome in zip(words, result.outcomes, strict=True):
            before = self.model.copy()
            there = self.model.blobs()
            try:
                if word.startswith("sha256:"):
                    self.model.remove_image(Digest(word), force=force, prune=prune)
                else:
                    self.model.remove_name(reference(word), force=force, prune=prune)
            except (Conflict, KeyError):
                assert outcome.error is not None, word
                continue
            assert outcome.error is None, outcome.error
            gone = {line.text for line in outcome.lines if line.role == "image"}
            assert gone == {image.hex for image in self.model.deleted}
            untagged = [line.text for line in outcome.lines if line.role == "reference"]
            assert sorted(untagged) == sorted(n.familiar for n, _, _ in self.model.untagged)
            layers = {line.text for line in outcome.lines if line.role == "layer"}
            if keep:
                assert not layers
                self.model.keep(before, entries, outcome.trash)
            else:
                freed = {blob.hex for blob in there - self.model.blobs()}
                assert layers <= freed
                self.model.tidy()

    @rule(everything=st.booleans(), keep=keeps)
    def prune(self, *, everything: bool, keep: float) -> None:
        size, known = self._bytes(), {entry.id for entry in self.store.trash.list()}
        result = self.store.prune(all=everything, keep=keep)
        assert result.freed == size - self._bytes()
        added = sorted(entry.id for entry in self.store.trash.list() if entry.id not in known)
        entries: dict[Digest, int] = {}
        referring = [image for image in self.model.held if self.model.subjects_of(image)]
        parents = set(self.model.parents.values())
        names = {image: self.model.names_of(image) for image in self.model.held}
        for image in sorted(self.model.held):
            own = names[image]
            is_dangling = not (
                image in parents or image in referring or any(name.tag for name in own)
            )
            if not (is_dangling or (everything and own)):
                continue
            arguments: list[Reference | Digest] = [*sorted(own)] or [image]
            for argument in arguments:
                before = self.model.copy()
                try:
                    if isinstance(argument, Reference):
                        self.model.remove_name(argument, force=False, prune=True)
                    else:
                        self.model.remove_image(argument, force=False, prune=True)
                except (Conflict, KeyError):
                    continue
                if keep:
                    first = [one for _, one, _ in self.model.untagged] + self.model.deleted
                    number = entries.get(first[0]) or added.pop(0)
                    self.model.keep(before, entries, number)
                self.model.tidy()
        assert added == []

    @rule(choice=choices)
    def restore(self, choice: int) -> None:
        if not self.model.trash:
            return
        number = list(self.model.trash)[choice % len(self.model.trash)]
        model = self.model.copy()
        allowed = model.restore(number)
        assert self._succeeds(lambda: self.store.trash.restore(number)) is allowed
        if allowed:
            self.model = model

    @rule(choice=choices, every=st.booleans())
    def empty_the_trash(self, choice: int, *, every: bool) -> None:
        if not self.model.trash:
            return
        numbers = list(self.model.trash)
        chosen = numbers if every else [numbers[choice % len(numbers)]]
        size = self._bytes()
        assert self.store.trash.empty(*chosen).freed == size - self._bytes()
        for number in chosen:
            del self.model.trash[number]
        self.model.tidy()

    @rule(half=st.booleans())
    def gc_with_a_policy(self, *, half: bool) -> None:
        """Which images a policy chooses is its own affair; the rest must stay as it was."""
        size = self._bytes()
        policy = {"max-used-space": str(size // 2) if half else "0", "min-age": "0s"}
        said = self.store.collect(policy, dry_run=True)
        result = self.store.collect(policy)
        assert ageless(said.plan.steps) == ageless(result.plan.steps)
        assert result.freed == size - self._bytes()
        there = {image.id for image in self.store.images(all=True)}
        for image in set(self.model.held) - there:
            assert image not in self.model.pins | {*self.model.soft.values()}
            assert image not in self.model.hard.values()
            self.model.forget(image)
        self.model.tidy()

    @rule()
    def gc(self) -> None:
        result = self.store.gc()
        assert (result.removed_blobs, result.removed_files, result.freed) == (0, 0, 0)

    # What holds

    @rule(choice=choices, name=st.sampled_from(LEASES))
    def lease(self, choice: int, name: str) -> None:
        if not self.model.held:
            return
        image = self._some_image(choice)
        self.store.leases.add(name, image)
        self.model.soft[name] = image

    @rule(choice=choices)
    def end_a_lease(self, choice: int) -> None:
        if not self.model.soft:
            return
        name = sorted(self.model.soft)[choice % len(self.model.soft)]
        self.store.leases.remove(name)
        del self.model.soft[name]

    @rule(choice=choices)
    def hold(self, choice: int) -> None:
        if not (self.model.held and len(self.held) < 2):
            return
        image, name = self._some_image(choice), f"hard-{len(self.held)}-{choice}"
        self.held[name] = self.store.leases.hold(image, name=name)
        self.model.hard[name] = image

    @rule()
    def let_go(self) -> None:
        if not self.held:
            return
        name, lease = self.held.popitem()
        lease.release()
        del self.model.hard[name]

    @rule(choice=choices, pinned=st.booleans())
    def pin(self, choice: int, *, pinned: bool) -> None:
        if not self.model.held:
            return
        image = self._some_image(choice)
        self.store.pin(image, pinned=pinned)
        if pinned:
            self.model.pins.add(image)
        else:
            self.model.pins.discard(image)

    # What changes nothing that is stored

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.root)

    @rule()
    def rebuild(self) -> None:
        self.store.check(rebuild=True, content=False)
        self.model.forget_what_is_not_published(lost=False)

    @rule()
    def lose_the_database(self) -> None:
        self.store.close()
        for extra in ("", "-wal", "-shm"):
            if os.path.exists(path := f"{self.root}/casstore.db{extra}"):
                os.unlink(path)
        self.store = Store(self.root)
        self.model.forget_what_is_not_published(lost=True)
        assert {image.id for image in self.store.images(all=True)} == set(self.model.held)
        self.store.close()
        self.store = Store(self.root)
        self.begun_with = {name: image for name, (image, _) in self.model.names.items()}
        self.events_begin = time.time_ns()
        self.store.gc()  # a change builds it again; what only the trash kept goes

    @rule()
    def repair(self) -> None:
        assert self.store.check(repair=True).repaired == ()

    # What is true after every step

    @invariant()
    def the_store_is_what_the_model_says(self) -> None:
        if not os.path.isdir(self.root):
            return
        type(self).steps += 1
        self._the_store_is_what_the_model_is()
        self._the_trash_is_what_the_model_has_in_it()
        self._index_json_lists_all_manifests_and_names()
        self._every_blob_is_held_and_counted_and_nothing_else_is_there()
        self._fsck_finds_nothing()
        self._each_name_can_be_saved()

    def _the_store_is_what_the_model_is(self) -> None:
        view = self.store.session.view()
        listed = {image.id: image for image in self.store.images(all=True)}
        assert {one: image.parent for one, image in listed.items()} == self.model.parents
        assert {one for one, image in listed.items() if image.pinned} == self.model.pins
        tops = {image: {top.digest for top in view.tops_of(image)} for image in listed}
        assert tops == {image: set(held) for image, held in self.model.held.items()}
        for image, one in listed.items():
            assert list(one.names) == self.model.names_of(image)
        for name, (_, top) in self.model.names.items():
            named = view.top_named(name)
            assert named is not None and named.digest == top
        leases = {one.name: one.image for one in self.store.leases.list()}
        assert leases == self.model.soft | self.model.hard
        events = self.store.events(since=self.events_begin)
        names = {name: image for name, (image, _) in self.model.names.items()}
        assert names_after(events, self.begun_with) == names

    def _the_trash_is_what_the_model_has_in_it(self) -> None:
        kept = {
            entry.id: (set(entry.names), set(entry.images)) for entry in self.store.trash.list()
        }
        assert kept == {
            number: ({name for one in entry for name in one.names}, {one.image for one in entry})
            for number, entry in self.model.trash.items()
        }

    def _index_json_lists_all_manifests_and_names(self) -> None:
        with open(f"{self.root}/index.json", encoding="utf-8") as file:
            entries = json.load(file)["manifests"]
        said = sorted(
            (one.get("annotations", {}).get(IMAGE_NAME, ""), one["digest"]) for one in entries
        )
        named = [(name, top) for name, (_, top) in self.model.names.items()]
        with_names = {top for _, top in named}
        nameless = [
            ("", top) for held in self.model.held.values() for top in held if top not in with_names
        ]
        assert said == sorted(named + nameless)

    def _every_blob_is_held_and_counted_and_nothing_else_is_there(self) -> None:
        with closing(sqlite3.connect(f"{self.root}/casstore.db")) as database:
            wrong, stray = miscounted(database), strays(database)
            loose = database.execute(
                "SELECT name FROM reference WHERE NOT EXISTS (SELECT 1 FROM holding"
                " WHERE holding.image = reference.image"
                " AND holding.manifest = reference.manifest)"
            ).fetchall()
            known = {Digest.of_bytes(row[0]) for row in database.execute("SELECT digest FROM blob")}
            subjects = {
                (Digest.of_bytes(top), Digest.of_bytes(subject))
                for top, subject in database.execute(
                    "SELECT blob.digest, subject.digest FROM subject"
                    " JOIN blob ON blob.id = subject.manifest"
                )
            }
        assert wrong == []
        assert stray == []
        assert loose == []
        assert known == self.model.blobs()
        assert subjects == self.model.subjects
        assert set(os.listdir(f"{self.root}/blobs/sha256")) == {one.hex for one in known}
        left = [name for name in os.listdir(f"{self.root}/ingest") if name[:6] != "lease-"]
        assert left == []

    def _fsck_finds_nothing(self) -> None:
        findings = self.store.check(content=False).findings
        assert [one for one in findings if one.code not in NOTES] == []

    def _each_name_can_be_saved(self) -> None:
        if self.model.names:
            names = [name.familiar for name in self.model.names]
            self.store.save(names, f"{self.folder.name}/saved.tar", format="oci")

    # Helpers

    def _learn(self, top: Digest) -> Digest:
        """Read a document that the store has made."""
        if top not in self.model.documents:
            read = self.store.session.backend.blobs.read
            self.model.documents[top] = read_document(read(top), read)
        return top

    def _some_name(self, choice: int) -> Reference | None:
        names = list(self.model.names)
        return names[choice % len(names)] if names else None

    def _a_name(self, choice: int) -> Reference:
        name = self._some_name(choice)
        assert name is not None
        return name

    def _some_image(self, choice: int) -> Digest:
        return list(self.model.held)[choice % len(self.model.held)]

    def _bytes(self) -> int:
        return sum(entry.stat().st_size for entry in os.scandir(f"{self.root}/blobs/sha256"))

    @staticmethod
    def _succeeds(action: Callable[[], object]) -> bool:
        try:
            action()
        except CasstoreError:
            return False
        return True


def ageless(steps: Iterable[Step]) -> list[Step]:
    """The steps of a plan without the words that tell an age in seconds, which goes on."""
    return [step._replace(why="") for step in steps]


TestForms = Forms.TestCase
TestForms.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
