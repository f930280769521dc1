"""What a store should hold, in dictionaries: images in several forms, and all that names them.

The rules are told here a second time, by what follows from them and not by how casstore goes about
it: no blob has a count, a blob is there exactly if a holder leads to it. Documents are only ever
looked up in `documents`, which learns them from their bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import NamedTuple

from casstore.model.digest import Digest, sha256
from casstore.model.reference import Reference, subject_of

IMAGE_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)


class Document(NamedTuple):
    """A manifest or an index."""

    digest: Digest
    image: Digest  # the ID of the image that it is a form of
    children: tuple[Digest, ...]
    subject: Digest | None


def read_document(data: bytes, config: Callable[[Digest], bytes]) -> Document:
    """A document from its bytes; `config` gives those of a blob."""
    value = json.loads(data)
    own = sha256(data)
    subject = Digest(value["subject"]["digest"]) if "subject" in value else None
    if "manifests" in value:
        children = [Digest(one["digest"]) for one in value["manifests"]]
        return Document(own, own, tuple(children), subject)
    about = value["config"]
    children = [Digest(one["digest"]) for one in (about, *value["layers"])]
    is_image = about["mediaType"] in IMAGE_CONFIGS and json.loads(config(children[0])) != {}
    return Document(own, children[0] if is_image else own, tuple(children), subject)


class Kept(NamedTuple):
    """An image in the trash."""

    image: Digest
    tops: set[Digest]
    parent: Digest | None
    pinned: bool
    names: dict[Reference, Digest]  # with the manifest


class Conflict(Exception):
    """A removal that is refused."""


class Model:
    """A store."""

    def __init__(self, documents: dict[Digest, Document]) -> None:
        self.documents = documents  # shared by all copies: what is known of bytes
        self.names: dict[Reference, tuple[Digest, Digest]] = {}  # image, manifest; attach order
        self.made: dict[Reference, int] = {}  # how many names were made before
        self.held: dict[Digest, list[Digest]] = {}  # manifests by image
        self.parents: dict[Digest, Digest | None] = {}
        self.pins: set[Digest] = set()
        self.soft: dict[str, Digest] = {}
        self.hard: dict[str, Digest] = {}
        self.subjects: set[tuple[Digest, Digest]] = set()  # manifest, what it refers to
        self.trash: dict[int, list[Kept]] = {}
        self._lost: dict[tuple[Digest, Digest], None] = {}  # lost a name in this change
        self.untagged: list[tuple[Reference, Digest, Digest]] = []  # of one removal, in order
        self.deleted: list[Digest] = []
        self._before: set[Digest] = set()  # blobs when the removal began

    def copy(self) -> Model:
        documents, self.documents = self.documents, {}
        other = deepcopy(self)
        self.documents = other.documents = documents
        return other

    # Looking

    def names_of(self, image: Digest) -> list[Reference]:
        return [name for name, (own, _) in self.names.items() if own == image]

    def children(self, image: Digest) -> list[Digest]:
        return [child for child, parent in self.parents.items() if parent == image]

    def descends(self, image: Digest | None, ancestor: Digest) -> bool:
        while image is not None and image != ancestor:
            image = self.parents.get(image)
        return image is not None

    def below(self, top: Digest) -> Iterator[Digest]:
        yield top
        if top in self.documents:
            for child in self.documents[top].children:
                yield from self.below(child)

    def blobs(self) -> set[Digest]:
        """Every blob that something leads to."""
        tops = [top for held in self.held.values() for top in held]
        tops += [top for entry in self.trash.values() for kept in entry for top in kept.tops]
        return {blob for top in tops for blob in self.below(top)}

    def leased(self, image: Digest, leases: dict[str, Digest]) -> bool:
        return image in leases.values()

    def referrers(self, blob: Digest) -> list[Digest]:
        return [
            image
            for image, held in self.held.items()
            if any((top, blob) in self.subjects for top in held)
        ]

    def subjects_of(self, image: Digest) -> set[Digest]:
        """What the image refers to and is there."""
        wanted = {blob for top, blob in self.subjects if top in self.held[image]}
        return wanted & self.blobs() if wanted else wanted

    # What comes

    def admit(self, top: Digest) -> None:
        document = self.documents[top]
        held = self.held.setdefault(document.image, [])
        if top not in held:
            held.append(top)
        self.parents.setdefault(document.image, None)
        if document.subject is not None:
            self.subjects.add((top, document.subject))

    def attach(self, name: Reference, top: Digest) -> None:
        image = self.documents[top].image
        assert top in self.held[image]
        subject = subject_of(name)
        if subject is not None:
            self.subjects.add((top, subject))
        old = self.names.get(name)
        if old is not None and old != (image, top) and subject != old[1]:
            self._lost[old] = None
        if old is not None and old[0] != image:
            del self.names[name]
        if name not in self.names:
            self.made[name] = max(self.made.values(), default=0) + 1
        self.names[name] = (image, top)

    def settle(self, *, spared: Iterable[Digest] = ()) -> None:
        """A manifest that lost its last name goes, where its image has another."""
        lost, self._lost = self._lost, {}
        for image, top in lost:
            names = self.names_of(image)
            named = {self.names[name][1] for name in names}
            if names and top not in named and top in self.held[image] and top not in spared:
                self._before = self.blobs()
                self._give_up(image, [top])
        self.tidy()

    def link(self, child: Digest, parent: Digest) -> bool:
        """Returns whether that closes no circle."""
        if parent in self.parents:
            if self.descends(parent, child):
                return False
            self.parents[child] = parent
        return True

    # What goes; the caller tidies up when what goes to the trash is in the trash

    def remove_name(self, name: Reference, *, force: bool, prune: bool) -> None:
        """Raises Conflict, KeyError."""
        image, _ = self.names[name]
        names = self.names_of(image)
        held = image in self.pins or image in self.hard.values() or image in self.soft.values()
        if held and not force and is_single(names):
            raise Conflict
        self.untagged, self.deleted, self._before = [], [], self.blobs()
        siblings = [n for n in names if n.repository == name.repository and n != name]
        going = [name]
        if name.tag is not None and not any(n.tag for n in siblings):
            going += siblings
        tops = {self.names[one][1] for one in going}
        for one in going:
            self._untag(one)
        left = self.names_of(image)
        if left:
            named = {self.names[one][1] for one in left}
            self._give_up(image, [top for top in self.held[image] if top in tops - named])
        elif self._conflict(image, named=False, force=force) is None:
            self._delete(image, prune=prune)

    def remove_image(self, image: Digest, *, force: bool, prune: bool) -> None:
        """Raises Conflict, KeyError."""
        if image not in self.held:
            raise KeyError(image)
        names = self.names_of(image)
        named = bool(names) and not is_single(names)
        if self._conflict(image, named=named, force=force) is not None:
            raise Conflict
        self.untagged, self.deleted, self._before = [], [], self.blobs()
        for one in names:
            self._untag(one)
        self._delete(image, prune=prune)

    def _untag(self, name: Reference) -> None:
        self.untagged.append((name, *self.names.pop(name)))

    def _conflict(self, image: Digest, *, named: bool, force: bool) -> str | None:
        if self.children(image):
            return "children"
        if image in self.hard.values():
            return "hard lease"
        if not force and (named or image in self.pins or image in self.soft.values()):
            return "soft"
        return None

    def _delete(self, image: Digest, *, prune: bool) -> None:
        parent = self.parents[image]
        self._drop(image)
        while prune and parent is not None:
            image = parent
            if image not in self.held:  # it referred to its child, and went with it
                return
            named = bool(self.names_of(image))
            if self._conflict(image, named=named, force=False) is not None:
                return
            parent = self.parents[image]
            self._drop(image)

    def _drop(self, image: Digest) -> None:
        self.deleted.append(image)
        del self.held[image], self.parents[image]
        self.pins.discard(image)
        self.soft = {name: own for name, own in self.soft.items() if own != image}
        self._after()

    def _give_up(self, image: Digest, tops: list[Digest]) -> None:
        for top in tops:
            self.held[image].remove(top)
            self._after()

    def _after(self) -> None:
        """What referred to documents that have gone, and to nothing that is left, goes too.

        Whatever goes may have been all that kept another: each drop looks at all again.
        """
        for blob in sorted(self._before - self.blobs()):
            for artifact in self.referrers(blob) if blob in self.documents else ():
                if artifact not in self.held or self.subjects_of(artifact):
                    continue
                names = self.names_of(artifact)
                scheme = {name.repository for name in names if subject_of(name) is not None}
                own = [
                    name
                    for name in names
                    if subject_of(name) is None
                    and (name.tag is not None or name.repository not in scheme)
                ]
                if own or self._conflict(artifact, named=False, force=False) is not None:
                    continue
                for name in names:
                    self._untag(name)
                self._drop(artifact)

    def tidy(self) -> None:
        """The rows of what refers to something go with the blob."""
        there = self.blobs()
        self.subjects = {(top, blob) for top, blob in self.subjects if top in there}
        self.soft = {name: own for name, own in self.soft.items() if own in self.held}

    def forget(self, image: Digest) -> None:
        """An image has gone, with its names."""
        for name in self.names_of(image):
            del self.names[name]
        for child in self.children(image):
            self.parents[child] = None
        del self.held[image], self.parents[image]

    # The trash

    def keep(self, before: Model, entries: dict[Digest, int], number: int | None) -> None:
        """Note in the trash what went since `before`; `entries`: those of this command."""
        images = [image for _, image, _ in self.untagged] + self.deleted
        assert (number is not None) is bool(images)
        if number is None:
            return
        assert entries.setdefault(images[0], number) == number
        kept = {one.image: one for one in self.trash.get(number, ())}

        def of(image: Digest) -> Kept:
            return kept.setdefault(
                image,
                Kept(image, set(), before.parents[image], image in before.pins, {}),
            )

        for name, image, top in self.untagged:
            names = of(image).names
            names[name] = top
            order = sorted(names, key=before.made.__getitem__)
            for one in order:
                names[one] = names.pop(one)
            of(image).tops.add(top)
        for image in self.deleted:
            of(image).tops.update(before.held[image])
        self.trash[number] = list(kept.values())
        self.tidy()

    def restore(self, number: int) -> bool:
        """Returns whether it is allowed; the model is of no use where it is not."""
        links = []
        for kept in reversed(self.trash[number]):
            there = kept.image in self.held
            for top in kept.tops:
                if not there or top in kept.names.values():
                    self.held.setdefault(kept.image, [])
                    if top not in self.held[kept.image]:
                        self.held[kept.image].append(top)
            if not there:
                self.parents[kept.image] = None
                links.append((kept.image, kept.parent))
                if kept.pinned:
                    self.pins.add(kept.image)
            for name, top in kept.names.items():
                owner = self.names.get(name)
                if owner is not None and owner[0] != kept.image:
                    return False
                if owner is None:
                    self.attach(name, top)
        for child, parent in links:
            if parent is not None:
                self.link(child, parent)
        del self.trash[number]
        self.settle()
        return True

    # The database

    def forget_what_is_not_published(self, *, lost: bool) -> None:
        """What a rebuild cannot know, or also what is only in a database that is lost."""
        if lost:
            self.soft.clear()
            self.trash.clear()
        self.subjects = {
            (top, subject)
            for top in [top for held in self.held.values() for top in held]
            + [top for entry in self.trash.values() for kept in entry for top in kept.tops]
            if top in self.documents and (subject := self.documents[top].subject) is not None
        }
        for name, (_, top) in self.names.items():
            subject = subject_of(name)
            if subject is not None:
                self.subjects.add((top, subject))


def is_single(names: list[Reference]) -> bool:
    """Whether an ID may stand for the names without force."""
    tags = [name for name in names if name.tag is not None]
    return len(names) == 1 or (len(tags) <= 1 and len({name.repository for name in names}) == 1)
