"""Random histories of a store against a model made of dictionaries.

After every step the store on disk is what the model says: counts equal edges, no name lacks its
bytes, nothing is left behind. CASSTORE_LONG=1 runs many more and longer histories.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256 as digest_of
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from casstore.errors import CasstoreError
from casstore.model.digest import Digest, sha256
from casstore.model.reference import parse_name
from casstore.store import Store
from tests.property.rawindex import miscounted, strays
from tests.store.replaying import names_after
from tests.transfer.building import config_of, docker_archive, layer

LONG = os.environ.get("CASSTORE_LONG") == "1"
PARENT = "io.casstore.image.parent"
IMAGE_NAME = "io.containerd.image.name"

LAYERS = [layer(text) for text in ("one", "two", "three")]
STACKS: list[tuple[int, ...]] = [(), (0,), (0, 1), (0, 1, 2), (1,), (2, 0, 2)]
NAMES = ["a:1", "a:2", "b:1", "c:latest"]

DAY = 86400.0


class Known:
    """An image that the histories use: always the same bytes."""

    def __init__(self, number: int, stack: tuple[int, ...]) -> None:
        self.layers = [LAYERS[at] for at in stack]
        self.config = config_of(*self.layers, created=f"2020-01-0{number + 1}T00:00:00Z")
        self.id = sha256(self.config)


IMAGES = [Known(number, stack) for number, stack in enumerate(STACKS)]
numbers = st.integers(0, len(IMAGES) - 1)
names = st.sampled_from(NAMES)
keeps = st.sampled_from([0.0, DAY])


class Entry:
    """What one entry of the trash has: names in order, images with their parents as they were."""

    def __init__(self) -> None:
        self.names: dict[str, Digest] = {}
        self.parents: dict[Digest, Digest | None] = {}


class Model:
    """What the store should hold: names in attach order, images, parents."""

    def __init__(self) -> None:
        self.names: dict[str, Digest] = {}
        self.parents: dict[Digest, Digest | None] = {}
        self.trash: dict[int, Entry] = {}

    def keep(
        self, number: int | None, names: dict[str, Digest], parents: dict[Digest, Digest | None]
    ) -> None:
        """Note in the trash what has gone since names and parents were these."""
        if number is None:
            return
        entry = self.trash.setdefault(number, Entry())
        for name, image in names.items():
            if name not in self.names:
                entry.names[name] = image
                entry.parents.setdefault(image, parents[image])
        for image, parent in parents.items():
            if image not in self.parents:
                entry.parents.setdefault(image, parent)

    def restore(self, number: int) -> bool:
        """Returns whether it is allowed."""
        entry = self.trash[number]
        if any(self.names.get(name, image) != image for name, image in entry.names.items()):
            return False
        links = {i: parent for i, parent in entry.parents.items() if i not in self.parents}
        for image in links:
            self.parents[image] = None
        for image, parent in links.items():
            if parent in self.parents and image not in self.ancestors(parent):
                self.parents[image] = parent
        for name, image in entry.names.items():
            self.attach(name, image)
        del self.trash[number]
        return True

    def attach(self, name: str, image: Digest) -> None:
        if self.names.get(name) != image:
            self.names.pop(name, None)
            self.names[name] = image

    def names_of(self, image: Digest) -> list[str]:
        return [name for name, own in self.names.items() if own == image]

    def children(self, image: Digest) -> list[Digest]:
        return [child for child, parent in self.parents.items() if parent == image]

    def ancestors(self, image: Digest | None) -> list[Digest]:
        line = []
        while image is not None:
            line.append(image)
            image = self.parents[image]
        return line

    def delete(self, image: Digest, *, prune: bool) -> None:
        parent = self.parents.pop(image)
        if prune and parent is not None and not self.names_of(parent) + self.children(parent):
            self.delete(parent, prune=True)

    def untag(self, name: str, *, prune: bool = True) -> None:
        image = self.names.pop(name)
        if not self.names_of(image) and not self.children(image):
            self.delete(image, prune=prune)

    def remove_id(self, image: Digest, *, force: bool, prune: bool) -> bool:
        """Returns whether it is allowed."""
        attached = self.names_of(image)
        if self.children(image) or (len(attached) > 1 and not force):
            return False
        for name in attached:
            del self.names[name]
        self.delete(image, prune=prune)
        return True


class Histories(RuleBasedStateMachine):
    """load, tag, rmi, prune, restore, gc and reopening, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="casstore-history-")
        self.root = os.path.join(self.folder.name, "store")
        self.store = Store(self.root)
        self.model = Model()
        self.begun_with: dict[str, Digest] = {}  # names that no event tells of
        self.events_begin = 0

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @initialize()
    def a_store_is_made_by_its_first_load(self) -> None:
        self.store.load(io.BytesIO(docker_archive()))

    @rule(number=numbers, tags=st.lists(names, max_size=2, unique=True))
    def load(self, number: int, tags: list[str]) -> None:
        image = IMAGES[number]
        self.store.load(self._archive((number, tags, None)))
        self.model.parents.setdefault(image.id, None)
        for tag in tags:
            self.model.attach(tag, image.id)

    @rule(child=numbers, parent=numbers, tags=st.lists(names, max_size=1))
    def load_with_its_parent(self, child: int, parent: int, tags: list[str]) -> None:
        assume(child != parent)
        above, below = IMAGES[child], IMAGES[parent]
        archive = self._archive((child, tags, parent), (parent, [], None))
        known = below.id in self.model.parents
        allowed = not known or above.id not in self.model.ancestors(below.id)  # no circles
        assert self._succeeds(lambda: self.store.load(archive)) is allowed
        if allowed:
            self.model.parents.setdefault(below.id, None)
            self.model.parents[above.id] = below.id
            for tag in tags:
                self.model.attach(tag, above.id)

    @rule(source=st.one_of(names, numbers), new=names)
    def tag(self, source: str | int, new: str) -> None:
        image = self._meant(source)
        done = self._succeeds(lambda: self.store.tag(self._argument(source), new))
        assert done is (image is not None)
        if image is not None:
            self.model.attach(new, image)

    @rule(name=names, force=st.booleans(), prune=st.booleans(), dry=st.booleans(), keep=keeps)
    def remove_by_name(
        self, name: str, *, force: bool, prune: bool, dry: bool, keep: float
    ) -> None:
        result = self.store.remove([name], force=force, prune=prune, dry_run=dry, keep=keep)
        assert (result.outcomes[0].error is None) is (name in self.model.names)
        if name in self.model.names and not dry:
            before = dict(self.model.names), dict(self.model.parents)
            self.model.untag(name, prune=prune)
            self.model.keep(result.outcomes[0].trash, *before)

    @rule(number=numbers, force=st.booleans(), prune=st.booleans(), short=st.booleans(), keep=keeps)
    def remove_by_id(
        self, number: int, *, force: bool, prune: bool, short: bool, keep: float
    ) -> None:
        image = IMAGES[number].id
        bytes_before = self._bytes()
        result = self.store.remove(
            [image.short if short else image], force=force, prune=prune, keep=keep
        )
        before = dict(self.model.names), dict(self.model.parents)
        allowed = image in self.model.parents and self.model.remove_id(
            image, force=force, prune=prune
        )
        assert (result.outcomes[0].error is None) is allowed
        assert bytes_before - self._bytes() == result.freed
        if allowed:
            assert (result.outcomes[0].trash is not None) is (keep > 0)
            self.model.keep(result.outcomes[0].trash, *before)

    @rule(first=names, second=names, keep=keeps)
    def remove_two_at_once(self, first: str, second: str, keep: float) -> None:
        result = self.store.remove([first, second], keep=keep)
        order = list(self.model.names)
        for outcome, name in zip(result.outcomes, (first, second), strict=True):
            assert (outcome.error is None) is (name in self.model.names)
            if name in self.model.names:
                before = dict(self.model.names), dict(self.model.parents)
                self.model.untag(name)
                self.model.keep(outcome.trash, *before)
                if outcome.trash is not None:
                    entry = self.model.trash[outcome.trash]
                    entry.names = {n: entry.names[n] for n in order if n in entry.names}

    @precondition(lambda self: self.model.trash)
    @rule(choice=st.integers(0, 9), by_name=st.booleans())
    def restore(self, choice: int, *, by_name: bool) -> None:
        number = list(self.model.trash)[choice % len(self.model.trash)]
        argument: str | int = number
        names = list(self.model.trash[number].names)
        if by_name and names:
            argument = names[choice % len(names)]
            number = max(n for n, entry in self.model.trash.items() if argument in entry.names)
        assert self._succeeds(lambda: self.store.trash.restore(argument)) is self.model.restore(
            number
        )

    @precondition(lambda self: self.model.trash)
    @rule(choice=st.integers(0, 9))
    def empty_one(self, choice: int) -> None:
        number = list(self.model.trash)[choice % len(self.model.trash)]
        (size,) = (entry.size for entry in self.store.trash.list() if entry.id == number)
        before = self._bytes()
        result = self.store.trash.empty(number)
        assert before - self._bytes() == size == result.freed
        del self.model.trash[number]

    @rule(everything=st.booleans())
    def prune_and_undo(self, *, everything: bool) -> None:
        before, known = self._bytes(), set(self.model.trash)
        result = self.store.prune(all=everything, keep=DAY)
        assert result.freed == before - self._bytes() == 0
        added = [entry.id for entry in self.store.trash.list() if entry.id not in known]
        if added:
            self.store.trash.restore(*added)

    @rule(everything=st.booleans())
    def prune(self, *, everything: bool) -> None:
        before = self._bytes()
        result = self.store.prune(all=everything)
        assert before - self._bytes() == result.freed
        if everything:
            self.model.names.clear()
        while loose := [
            image
            for image in self.model.parents
            if not self.model.names_of(image) and not self.model.children(image)
        ]:
            self.model.delete(loose[0], prune=True)

    @rule()
    def gc(self) -> None:
        result = self.store.gc()
        assert (result.removed_blobs, result.removed_files, result.freed) == (0, 0, 0)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.root)

    @rule()
    def rebuild(self) -> None:
        self.store.check(rebuild=True, content=False)

    @rule()
    def lose_the_database(self) -> None:
        self.store.close()
        for extra in ("", "-wal", "-shm"):
            if os.path.exists(path := f"{self.root}/casstore.db{extra}"):
                os.unlink(path)
        self.store = Store(self.root)
        assert {image.id for image in self.store.images(all=True)} == set(self.model.parents)
        self.store.close()
        self.store = Store(self.root)
        self.begun_with, self.events_begin = dict(self.model.names), time.time_ns()
        self.store.gc()  # a change builds it again, and begins its events again
        self.model.trash.clear()

    # What is true after every step

    @invariant()
    def the_names_follow_from_the_events(self) -> None:
        if not os.path.isdir(self.root):
            return
        events = self.store.events(since=self.events_begin)
        names = names_after(
            events, {parse_name(n).reference: i for n, i in self.begun_with.items()}
        )
        assert {name.familiar: image for name, image in names.items()} == self.model.names

    @invariant()
    def the_store_lists_what_the_model_lists(self) -> None:
        if not os.path.isdir(self.root):
            return
        listed = self.store.images(all=True)
        assert {image.id: image.parent for image in listed} == self.model.parents
        kept = {
            entry.id: ([name.familiar for name in entry.names], set(entry.images))
            for entry in self.store.trash.list()
        }
        assert kept == {
            number: (list(entry.names), set(entry.parents))
            for number, entry in self.model.trash.items()
        }
        for image in listed:
            assert [name.familiar for name in image.names] == self.model.names_of(image.id)

    @invariant()
    def index_json_lists_exactly_the_images_and_names_of_the_model(self) -> None:
        if not os.path.isdir(self.root):
            return
        with open(f"{self.root}/index.json", encoding="utf-8") as file:
            entries = json.load(file)["manifests"]
        published = []
        for entry in entries:
            with open(f"{self.root}/blobs/sha256/{entry['digest'][7:]}", "rb") as file:
                data = file.read()
            assert len(data) == entry["size"]
            image = json.loads(data)["config"]["digest"]
            annotations: dict[str, Any] = entry.get("annotations", {})
            assert annotations.get(PARENT) == self.model.parents[image]
            published.append((annotations.get(IMAGE_NAME), image))
        expected: list[tuple[str | None, Digest]]
        expected = [(f"docker.io/library/{n}", image) for n, image in self.model.names.items()]
        expected += [
            (None, image) for image in self.model.parents if not self.model.names_of(image)
        ]
        assert sorted(published, key=str) == sorted(expected, key=str)

    @invariant()
    def each_count_is_the_number_of_edges_and_holdings(self) -> None:
        if not os.path.isdir(self.root):
            return
        with closing(sqlite3.connect(f"{self.root}/casstore.db")) as database:
            wrong, stray = miscounted(database), strays(database)
            known = {row[0].hex() for row in database.execute("SELECT digest FROM blob")}
        assert wrong == []
        assert stray == []
        assert self._files() == known

    @invariant()
    def every_file_is_named_by_its_content(self) -> None:
        for name in self._files():
            with open(f"{self.root}/blobs/sha256/{name}", "rb") as file:
                assert digest_of(file.read()).hexdigest() == name

    @invariant()
    def nothing_is_left_in_ingest(self) -> None:
        if os.path.isdir(f"{self.root}/ingest"):
            assert os.listdir(f"{self.root}/ingest") == []

    def _archive(self, *entries: tuple[int, list[str], int | None]) -> io.BytesIO:
        images: list[dict[str, Any]] = []
        for number, tags, parent in entries:
            image = IMAGES[number]
            entry: dict[str, Any] = {
                "layers": image.layers, "config": image.config, "tags": tags or None,
            }  # fmt: skip
            if parent is not None:
                entry["parent"] = IMAGES[parent].id
            images.append(entry)
        return io.BytesIO(docker_archive(*images))

    def _files(self) -> set[str]:
        folder = f"{self.root}/blobs/sha256"
        return set(os.listdir(folder)) if os.path.isdir(folder) else set()

    def _bytes(self) -> int:
        folder = f"{self.root}/blobs/sha256"
        return sum(entry.stat().st_size for entry in os.scandir(folder))

    def _meant(self, source: str | int) -> Digest | None:
        if isinstance(source, str):
            return self.model.names.get(source)
        return IMAGES[source].id if IMAGES[source].id in self.model.parents else None

    def _argument(self, source: str | int) -> str:
        return source if isinstance(source, str) else IMAGES[source].id.short

    @staticmethod
    def _succeeds(action: Callable[[], object]) -> bool:
        try:
            action()
        except CasstoreError:
            return False
        return True


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=300 if LONG else 80,
    stateful_step_count=60 if LONG else 25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
