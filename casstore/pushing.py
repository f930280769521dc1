"""push: images of the store into a registry, under the names they have."""

from __future__ import annotations

from casstore.errors import NotFound, Refused, UsageError
from casstore.model.manifest import parse_document
from casstore.model.record import LAYER
from casstore.model.reference import Reference, familiar_name, parse_name, subject_of
from casstore.queries.inspection import documents_of
from casstore.registry.referrers import add_to_list, fallback_tag
from casstore.registry.remote import Registry, Repository
from casstore.registry.send import FOREIGN, Bundle, send
from casstore.results.exchange import PushedTag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casstore.disk.sqliteview import SqliteView
    from casstore.model.digest import Digest
    from casstore.model.record import Descriptor
    from casstore.ports import StoredBlobs
    from casstore.progress import Progress, Task
    from casstore.registry.http import Transport

    Tell = Callable[[str, str], None]

PREPARING, PUSHING = "Preparing", "Pushing"
REFERRER = "Referrer"


class Push:
    """One NAME being pushed."""

    def __init__(self, transport: Transport, view: SqliteView, name: str, *, every_tag: bool,
                 tell: Tell, referrers: bool = False, progress: Progress | None = None,
                 source: tuple[Digest, Descriptor] | None = None) -> None:  # fmt: skip
        """Find what is to be pushed; `progress` gets a task `Pushing` for each blob.

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
        self._view, self._tell, self._progress = view, tell, progress
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

    def send(self, blobs: StoredBlobs) -> list[PushedTag]:
        """Push each name. Raises RegistryError, Damaged."""
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
        elsewhere = self._elsewhere(bundle)
        send(self._remote, bundle, tag, blobs, elsewhere=elsewhere, told=told, tasks=tasks)
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
        answers = [
            send(self._remote, bundle, reference, blobs, elsewhere={}, told=_silent)
            for reference in (dict.fromkeys(tags) if tags else (top.digest,))
        ]
        if document.subject is not None and not answers[-1].header("OCI-Subject"):
            add_to_list(self._remote, document.subject.descriptor.digest, top, document)
        self._tell(f"{REFERRER}:", top.digest)
        return True

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


def _silent(leaf: Descriptor, word: str) -> None:
    """What becomes of an artifact's blobs is not told."""
