"""pull: names of a registry into the store; each NAME is one durable change, or none.

As Docker does it. A pull by tag records the tag, and the digest that the tag stood for; a pull by
digest the digest alone. Of an index the manifest for one platform is taken, and the digest that is
recorded is the index's, unless all platforms are asked for: then the index itself is the image.
"""

from __future__ import annotations

from casstore.errors import NotFound, Refused, RegistryError, UsageError
from casstore.model.descriptor import INDEX, MANIFEST
from casstore.model.platform import Platform, normal, runs, shown
from casstore.model.record import Arrival
from casstore.model.reference import Reference, parse_name
from casstore.registry.fetch import choose_manifest, fetch_tree
from casstore.registry.mirrors import repository_to_read
from casstore.transfer.imagebatch import ImageBatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.parameters import Tell
    from casstore.model.record import ImageRecord
    from casstore.model.reference import Name
    from casstore.ports.ingest import Intake
    from casstore.progress import Progress
    from casstore.registry.http import Transport

PULLING = "Pulling from"
DIGEST = "Digest"
REFERRER = "Referrer"


class Pull:
    """One NAME being pulled."""

    def __init__(
        self, transport: Transport, name: str, *, platform: Platform, whole: bool, every_tag: bool,
        tell: Tell, referrers: bool = False, signatures: bool = False,
    ) -> None:  # fmt: skip
        """Read the name.

        Args:
            whole: all platforms of an index.
            tell: hears of each step.
            referrers: also what refers to the image, all of it.
            signatures: the same as far as it can be asked for; a trust policy judges what comes.
        """
        self.name = parse_name(name)
        if every_tag and (self.name.digest is not None or _has_tag(name)):
            raise UsageError("tag can't be used with --all-tags/-a")
        self._repository = repository_to_read(transport, self.name)
        self._platform, self._whole, self._every_tag = platform, whole, every_tag
        self._tell = tell
        self._progress: Progress | None = None
        self._referrers, self._signatures = referrers, signatures
        self.warnings: list[str] = []
        self._batch = ImageBatch()

    def read(self, intake: Intake, progress: Progress | None = None) -> list[Arrival]:
        """Stage what the name means; `progress` gets a task `Pulling` for each blob.

        Raises:
            RegistryError, NotFound, Refused: it cannot be had, or is not what it should be.
        """
        self._progress = progress
        if not self._every_tag:
            tag = self.name.tag if self.name.digest is None else None
            return self._one(intake, self.name, tag)
        tags = self._repository.tags()
        if not tags:
            raise NotFound(f"repository {self._repository.name} has no tags")
        return [arrival for tag in tags for arrival in self._one(intake, self.name, tag)]

    def _one(self, intake: Intake, name: Name, tag: str | None) -> list[Arrival]:
        """The image, and what refers to it if that is wanted."""
        asked = tag if tag is not None else str(name.digest)
        shown_as = tag if tag is not None else name.familiar
        top, data = self._repository.manifest(asked)
        self._tell(f"{shown_as}: {PULLING}", self._repository.path)
        names = [Reference(f"{name.repository}@{top.digest}")]
        if tag is not None:
            names.insert(0, Reference(f"{name.repository}:{tag}"))
        if self._whole:
            chosen, document = top, data
        else:
            chosen, document = choose_manifest(self._repository, top, data, self._platform)
        image = self._fetch(intake, chosen, document)
        own = normal(Platform(image.os, image.architecture, image.variant))
        if not self._whole and image.os and own not in runs(self._platform):
            self.warnings.append(
                f"{names[0].familiar} is for {shown(own)}, not for {shown(self._platform)}"
            )
        self._tell(f"{DIGEST}:", top.digest)
        arrivals = [Arrival(image, tuple(names), None)]
        if self._referrers or self._signatures:
            arrivals += self._referring(intake, image)
        return arrivals

    def _fetch(self, intake: Intake, top: Descriptor, data: bytes) -> ImageRecord:
        image = fetch_tree(
            self._repository, intake, top, data, self._layer, progress=self._progress
        )
        return self._batch.image(image)

    def _referring(self, intake: Intake, image: ImageRecord) -> list[Arrival]:
        """What refers to an image, to a manifest in it, or to what refers to it.

        Raises:
            RegistryError: it cannot be found out whether there is something.
        """
        from casstore.registry.referrers import MAX_REFERRERS, cosign_artifacts, referrers_of

        found: dict[Digest, Arrival] = {}
        todo = [blob.digest for blob in image.blobs if blob.kind in (INDEX, MANIFEST)]
        for subject in todo:
            by_tag: dict[Digest, tuple[str, Descriptor, bytes]] = {}
            listed: list[Descriptor] = []
            try:
                for tag, top, data in cosign_artifacts(self._repository, subject):
                    by_tag[top.digest] = (tag, top, data)
                listed = referrers_of(self._repository, subject)
            except (RegistryError, Refused) as error:
                if self._referrers:
                    raise
                self.warnings.append(
                    f"not all that refers to {subject} could be asked for: {error}"
                )
            for descriptor in (*listed, *(top for _, top, _ in by_tag.values())):
                if descriptor.digest in found or descriptor.digest in todo:
                    continue
                if len(found) >= MAX_REFERRERS:
                    raise Refused(
                        f"more than {MAX_REFERRERS} manifests refer to {image.top.digest}"
                    )
                known = by_tag.get(descriptor.digest) or self._referrer(descriptor)
                if known is None:
                    continue
                tag, top, data = known
                artifact = self._fetch(intake, top, data)
                names = (Reference(f"{self.name.repository}:{tag}"),) if tag else ()
                found[top.digest] = Arrival(artifact, names, None)
                todo.append(top.digest)
                self._tell(f"{REFERRER}:", top.digest)
        return list(found.values())

    def _referrer(self, descriptor: Descriptor) -> tuple[str, Descriptor, bytes] | None:
        """A referrer by its digest; None where the list names what the registry does not have."""
        kind = descriptor.media_type
        try:
            return "", *self._repository.manifest(descriptor.digest, expect=kind)
        except NotFound:
            domain = self._repository.registry.domain
            self.warnings.append(f"{domain} lists the referrer {descriptor.digest} and lacks it")
            return None

    def _layer(self, layer: Descriptor, word: str) -> None:
        self._tell(f"{layer.digest.short}:", word)


def _has_tag(text: str) -> bool:
    return ":" in text.rpartition("/")[2]
