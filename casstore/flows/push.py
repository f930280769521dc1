"""push: images of the store into a registry, under the names they have."""

from __future__ import annotations

import io

from casstore.errors import NotFound, Refused, RegistryError, UsageError
from casstore.model import mediatype
from casstore.model.descriptor import LAYER, Descriptor
from casstore.model.digest import sha256
from casstore.model.manifest import Manifest, parse_document
from casstore.model.reference import Reference, familiar_name, parse_name, subject_of
from casstore.model.signatures import grows, united
from casstore.queries.inspection import documents_of
from casstore.registry.bundle import EXISTS, FOREIGN, Bundle
from casstore.registry.http import ATTEMPTS
from casstore.registry.remote import Registry, Repository
from casstore.results.exchange import PushedTag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.parameters import Tell
    from casstore.ports.blobs import StoredBlobs
    from casstore.ports.view import View
    from casstore.progress import Progress, Task
    from casstore.registry.answer import Answer
    from casstore.registry.http import Transport

PREPARING, PUSHING = "Preparing", "Pushing"
REFERRER = "Referrer"


class Push:
    """One NAME being pushed."""

    def __init__(self, transport: Transport, view: View, name: str, *, every_tag: bool,
                 tell: Tell, referrers: bool = False,
                 source: tuple[Digest, Descriptor] | None = None) -> None:  # fmt: skip
        """Find what is to be pushed.

        `source`, an image and a manifest of it, is pushed as `name`, whatever the store calls it.

        Raises:
            NotFound: the store has no such name.
            Refused: the name has a digest: what a digest names cannot be chosen.
        """
        parsed = parse_name(name)
        if parsed.digest is not None:
            raise Refused("cannot push a digest reference")
        if every_tag and ":" in name.rpartition("/")[2]:
            raise UsageError("tag can't be used with --all-tags/-a")
        self.repository = parsed.repository
        self._view, self._tell = view, tell
        self._progress: Progress | None = None
        self._referrers = referrers
        self._source = source
        names = [n for n in view.all_names() if n.repository == parsed.repository and n.tag]
        if source is not None:
            names, every_tag = [parsed.reference], True
        if not names:
            raise NotFound(
                "An image does not exist locally with the tag: " + familiar_name(parsed.repository)
            )
        if not every_tag:
            names = [n for n in names if n == parsed.reference]
            if not names:
                raise NotFound(f"tag does not exist: {parsed.familiar}")
        self.names: list[Reference] = names
        domain, _, path = parsed.repository.partition("/")
        self._remote = Repository(Registry(transport, domain), path)

    def images(self) -> list[Digest]:
        """IDs of the images to be pushed, to be held meanwhile."""
        named = (self._view.image_named(name) for name in self.names)
        found = list(dict.fromkeys(image for image in named if image is not None))
        for image in found if self._referrers else ():
            for top in self._view.tops_of(image):
                for document in documents_of(self._view, top.digest):
                    found += (a for a in self._view.referrers_of(document) if a not in found)
        return found

    def send(self, blobs: StoredBlobs, progress: Progress | None = None) -> list[PushedTag]:
        """Push each name; `progress` gets a task `Pushing` for each blob.

        Raises:
            RegistryError, Damaged: the registry does not take it, or it is not what it should be.
        """
        self._progress = progress
        self._tell("The push refers to repository", f"[{self._remote.name}]")
        return [self._one(name, blobs) for name in self.names]

    def _one(self, name: Reference, blobs: StoredBlobs) -> PushedTag:
        image, top = self._source or (self._view.image_named(name), self._view.top_named(name))
        if top is None or image is None:
            raise NotFound(f"tag does not exist: {name.familiar}")
        bundle = Bundle(top, blobs)
        shown = {leaf for leaf in bundle.leaves if self._is_layer(leaf, blobs)}
        for leaf in bundle.leaves.values():
            if leaf.digest in shown:
                self._tell(f"{leaf.digest.short}:", PREPARING)

        tasks: dict[Digest, Task] = {}
        if self._progress is not None:
            for leaf in bundle.leaves.values():
                task = self._progress.task(PUSHING, leaf.size, item=leaf.digest.short)
                tasks[leaf.digest] = task

        def told(leaf: Descriptor, word: str) -> None:
            if leaf.digest in tasks:
                tasks[leaf.digest].finish()
            if leaf.digest in shown or word == FOREIGN:
                self._tell(f"{leaf.digest.short}:", word)

        tag = name.tag or ""
        if grows(name):
            top = self._send_growing(bundle, tag, blobs)
        elif self._remote.names(tag, top):
            # A registry takes a manifest when it has all that the manifest names, and keeps it.
            for leaf in bundle.leaves.values():
                told(leaf, FOREIGN if mediatype.is_foreign(leaf.media_type) else EXISTS)
        else:
            from casstore.registry.send import send  # brings threads: not for a push of nothing

            elsewhere = self._elsewhere(bundle)
            send(
                self._remote, bundle, tag, blobs, elsewhere=elsewhere, told=told, tasks=tasks,
                pulse=None if self._progress is None else self._progress.tell,
            )  # fmt: skip
        if self._referrers:
            self._send_referrers(bundle, blobs)
        self._tell(f"{tag}: digest: {top.digest}", f"size: {top.size}")
        return PushedTag(name, image, top.digest, top.size)

    def _send_referrers(self, bundle: Bundle, blobs: StoredBlobs) -> None:
        """Push what refers to a manifest of the bundle, and to what is pushed for that."""
        subjects = list(bundle.manifests)
        for subject in subjects:
            for artifact in self._view.referrers_of(subject):
                for top in self._view.tops_of(artifact):
                    if top.digest not in subjects and self._send_referrer(top, subject, blobs):
                        subjects.append(top.digest)

    def _send_referrer(self, top: Descriptor, subject: Digest, blobs: StoredBlobs) -> bool:
        from casstore.registry.referrers import add_to_list, fallback_tag

        document = parse_document(blobs.read(top.digest), top)
        tags = [
            name.tag
            for image in self._view.holders_of(top.digest)
            for name in (one.name for one in self._view.references_of(image))
            if subject_of(name) == subject and name.tag is not None
        ]
        if document.subject is None and fallback_tag(subject) in tags:
            return False  # a registry's own list of referrers, which is kept up to date below
        bundle = Bundle(top, blobs)
        for tag in dict.fromkeys(tags):
            if grows(Reference(f"{self.repository}:{tag}")):
                sent = self._send_growing(bundle, tag, blobs)
                self._tell(f"{REFERRER}:", sent.digest)
                continue
            _sent(self._remote, bundle, tag, blobs)
            self._tell(f"{REFERRER}:", top.digest)
        if not tags or document.subject is not None:
            answer = _sent(self._remote, bundle, top.digest, blobs)
            if document.subject is not None and not answer.header("OCI-Subject"):
                add_to_list(self._remote, document.subject.descriptor.digest, top, document)
        if not tags:
            self._tell(f"{REFERRER}:", top.digest)
        return True

    def _send_growing(self, bundle: Bundle, tag: str, blobs: StoredBlobs) -> Descriptor:
        """Push signatures or attestations, beside those that others have pushed meanwhile.

        A registry does not compare before it writes, so it is looked at again afterwards: whoever
        overwrote, or was overwritten by, somebody else adds what is missing.

        Returns:
            What the tag names in the end.

        Raises:
            Refused: the tag names something else there.
            RegistryError: others write it all the time.
        """
        top, repository = bundle.top, self._remote
        ours = blobs.read(top.digest)
        for _ in range(ATTEMPTS):
            try:
                there, theirs = repository.manifest(tag)
            except NotFound:
                _sent(repository, bundle, tag, blobs)
                continue
            if there.digest == top.digest:
                return there
            both = united(theirs, ours)
            if both is None:
                raise Refused(
                    f"{repository.shown(tag)} is there, is not an artifact of signatures, and"
                    " is not overwritten"
                )
            if both.manifest == theirs:
                return there
            if both.manifest == ours:
                _sent(repository, bundle, tag, blobs)
                continue
            made = WithDocuments(blobs, both.manifest, both.config)
            document = Descriptor(top.media_type, sha256(both.manifest), len(both.manifest))
            longer = Bundle(document, made)
            theirs_alone = _layers(theirs, there) - bundle.leaves.keys()
            for digest in theirs_alone:
                longer.leaves.pop(digest, None)  # the repository has them
            _sent(repository, longer, tag, made)
        raise RegistryError(f"others write {repository.shown(tag)} at the same time: try again")

    @staticmethod
    def _is_layer(leaf: Digest, blobs: StoredBlobs) -> bool:
        return blobs.layer(leaf) is not None

    def _elsewhere(self, bundle: Bundle) -> dict[Digest, str]:
        """For each layer, another repository of the registry that an image with it is named in.

        Best one that the registry is known to have had the image in.
        """
        found: dict[Digest, str] = {}
        for manifest in bundle.manifests:
            for need in self._view.needs_of(manifest):
                if need.kind != LAYER or need.digest in found:
                    continue
                others = [
                    other
                    for image in self._view.images_needing(need.digest)
                    for other in self._other_repositories(image)
                ]
                if others:
                    found[need.digest] = min(others)[1]
        return found

    def _other_repositories(self, image: Digest) -> Iterator[tuple[bool, str]]:
        prefix = self._remote.registry.domain + "/"
        for one in self._view.references_of(image):
            repository = one.name.repository
            if repository.startswith(prefix) and repository != self.repository:
                # A digest reference shows that the registry has had it there.
                yield one.name.tag is not None, repository.removeprefix(prefix)


def _layers(data: bytes, top: Descriptor) -> set[Digest]:
    document = parse_document(data, top)
    assert isinstance(document, Manifest)
    return {entry.descriptor.digest for entry in document.layers}


class WithDocuments:
    """The `StoredBlobs` of a store, and a few documents that are not in it."""

    def __init__(self, blobs: StoredBlobs, *documents: bytes) -> None:
        self._made = {sha256(data): data for data in documents}
        self._blobs = blobs
        self.path, self.layer = blobs.path, blobs.layer

    def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        return digest in self._made or self._blobs.has(digest)

    def read(self, digest: Digest) -> bytes:
        """A whole document."""
        made = self._made.get(digest)
        return made if made is not None else self._blobs.read(digest)

    def open(self, digest: Digest) -> IO[bytes]:
        """A document or blob for reading."""
        made = self._made.get(digest)
        return io.BytesIO(made) if made is not None else self._blobs.open(digest)


def _sent(repository: Repository, bundle: Bundle, reference: str, blobs: StoredBlobs) -> Answer:
    """Send an artifact. Returns as `send`; raises Damaged, RegistryError."""
    from casstore.registry.send import send

    return send(repository, bundle, reference, blobs, elsewhere={}, told=_silent)


def _silent(leaf: Descriptor, word: str) -> None:
    """What becomes of an artifact's blobs is not told."""
