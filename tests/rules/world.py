"""World: a store made of dictionaries, for the rules to look at.

It answers as `LocalView` does (test_view.py holds both against each other), so what the rules are
told in tests is what they are told in life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from casstore.backends.local import schema
from casstore.backends.local.edits import LocalEdits
from casstore.model.descriptor import CONFIG, LAYER, MANIFEST, Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import ImageFacts, LayerRecord, wanted_labels
from casstore.model.labels import Labels
from casstore.model.record import BlobRecord, ImageRecord
from casstore.model.reference import Reference, parse_name, subject_of
from casstore.model.removal import RemovalPlan
from casstore.model.state import Attached, BlobState, LeaseOn, Naming
from casstore.rules.removal import plan_removal

CONFIG_SIZE, MANIFEST_SIZE, LAYER_SIZE, FILE_BYTES = 100, 200, 1000, 7
SECOND = 10**9
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+zstd"


def digest_of(name: str) -> Digest:
    """The digest that stands for something called `name`."""
    return sha256(name.encode())


def reference(text: str) -> Reference:
    return parse_name(text).reference


def lines_of(plan: RemovalPlan) -> list[str]:
    """The plan as `rmi` prints it."""
    return [f"{line.kind.capitalize()}: {line.text}" for line in plan.lines]


class World:
    """Images, blobs, names and leases by hand."""

    def __init__(self) -> None:
        self.records: list[tuple[ImageRecord, Digest | None]] = []  # with the parent
        self.facts: dict[Digest, ImageFacts] = {}
        self.blobs: dict[Digest, BlobRecord] = {}
        self.file_bytes: dict[Digest, int] = {}
        self.holdings: dict[Digest, list[Digest]] = {}
        self.names: dict[Reference, tuple[Digest, Digest]] = {}  # image, manifest
        self.leases: dict[Digest, list[LeaseOn]] = {}
        self.subjects: dict[Digest, list[Digest]] = {}  # by manifest
        self.pins: set[Digest] = set()

    # Making it

    def image(
        self,
        name: str,
        *,
        layers: str = "",
        tags: str = "",
        parent: Digest | None = None,
        id: str | None = None,
        manifest: str | None = None,
        created: int | None = 0,
        labels: Mapping[str, str] | None = None,
        subject: Digest | None = None,
    ) -> Digest:
        """Add an image (or, for an ID that is there, a further manifest of it).

        Args:
            name: stands for its config.
            layers: names of layers, bottom first, between blanks.
            tags: names between blanks, in attach order.
            parent: the recorded parent.
            id: hex digits that the image ID starts with.
            manifest: stands for the manifest.
            created: seconds, or None.
            labels: of the config.
            subject: the image whose manifest it refers to.
        """
        own = digest_of(name) if id is None else Digest.of_hex(id.ljust(64, "0"))
        stack = [digest_of(layer) for layer in layers.split()]
        top = Descriptor(MANIFEST_TYPE, digest_of(manifest or f"manifest of {name}"), MANIFEST_SIZE)
        record = ImageRecord(
            own,
            top,
            (
                BlobRecord(top.digest, top.size, MANIFEST, (own, *stack)),
                BlobRecord(own, CONFIG_SIZE, CONFIG, ()),
                *(BlobRecord(one, LAYER_SIZE, LAYER, ()) for one in dict.fromkeys(stack)),
            ),
            tuple(
                LayerRecord(one, LAYER_SIZE, LAYER_TYPE, sha256(one.raw), 5000, FILE_BYTES)
                for one in dict.fromkeys(stack)
            ),
            None if created is None else created * SECOND,
            Labels(sorted((labels or {}).items())),
            "linux", "amd64", "", FILE_BYTES * len(stack),
            self.holdings[subject][0] if subject is not None else None,
        )  # fmt: skip
        self.records.append((record, parent))
        if record.subject is not None:
            self.subjects.setdefault(top.digest, []).append(record.subject)
        for blob in record.blobs:
            self.blobs.setdefault(blob.digest, blob)
        self.file_bytes |= {layer.digest: layer.file_bytes for layer in record.layers}
        self.facts.setdefault(
            own, ImageFacts(own, parent, record.created, record.size, tuple(record.labels))
        )
        held = self.holdings.setdefault(own, [])
        if top.digest not in held:
            held.append(top.digest)
        for tag in tags.split():
            self.name(own, tag, top.digest)
        return own

    def name(self, image: Digest, text: str, manifest: Digest | None = None) -> Reference:
        """Attach a reference to an image."""
        name = reference(text)
        self.names.pop(name, None)
        self.names[name] = (image, manifest or self.holdings[image][0])
        subject = subject_of(name)
        if subject is not None:
            self.subjects.setdefault(self.names[name][1], []).append(subject)
        return name

    def lease(self, image: Digest, name: str, *, hard: bool = False) -> None:
        leases = self.leases.setdefault(image, [])
        leases.append(LeaseOn(name, hard))
        leases.sort(key=lambda lease: (not lease.hard, lease.name))

    def remove(self, argument: str, *, force: bool = False, prune: bool = True) -> list[str]:
        """Carry out an `rmi ARGUMENT` and return what it prints."""
        plan = plan_removal(self, argument, force=force, prune=prune)
        self.apply(plan)
        return lines_of(plan)

    def apply(self, plan: RemovalPlan) -> None:
        for name in plan.untag:
            del self.names[name]
        for image, manifest in plan.detach:
            self.holdings[image].remove(manifest)
        for image in plan.delete:
            del self.facts[image], self.holdings[image]
            self.leases.pop(image, None)
            self.pins.discard(image)
            for child in self.children_of(image):
                self.facts[child] = self.facts[child]._replace(parent=None)
        for blob in plan.free:
            del self.blobs[blob]
            self.subjects.pop(blob, None)

    def in_sqlite(self) -> LocalEdits:
        """The same world in an index in memory."""
        hard = {
            image: [lease.name for lease in leases if lease.hard]
            for image, leases in self.leases.items()
        }
        index = LocalEdits(schema.memory(), now=0, hard=hard)
        index.begin()
        for record, _ in self.records:
            index.admit(record)
        for record, parent in self.records:
            if parent is not None:
                index.link_parent(record.id, parent)
        for name, (image, manifest) in self.names.items():
            index.attach(name, image, manifest, tagged=0)
        for image in self.pins:
            index.set_pin(image, pinned=True)
        for image, leases in self.leases.items():
            for lease in leases:
                if not lease.hard:
                    index.set_lease(lease.name, image, None)
        return index

    # The view

    def image_named(self, name: Reference) -> Digest | None:
        return self.names[name][0] if name in self.names else None

    def has_image(self, image: Digest) -> bool:
        return image in self.facts

    def images_with_prefix(self, prefix: str) -> Sequence[Digest]:
        return sorted(image for image in self.facts if image.hex.startswith(prefix))[:2]

    def references_of(self, image: Digest) -> Sequence[Attached]:
        return [
            Attached(name, manifest) for name, (own, manifest) in self.names.items() if own == image
        ]

    def naming_of(self, image: Digest) -> Naming:
        return Naming(self.references_of(image))

    def parent_of(self, image: Digest) -> Digest | None:
        return self.facts[image].parent

    def children_of(self, image: Digest) -> Sequence[Digest]:
        return [facts.id for facts in self.facts.values() if facts.parent == image]

    def referrers_of(self, manifest: Digest) -> Sequence[Digest]:
        return [
            image
            for image in self.facts
            if any(manifest in self.subjects.get(own, ()) for own in self.holdings[image])
        ]

    def subjects_of(self, image: Digest) -> Sequence[Digest]:
        wanted = {one for own in self.holdings[image] for one in self.subjects.get(own, ())}
        return [blob for blob in self.blobs if blob in wanted]

    def leases_on(self, image: Digest) -> Sequence[LeaseOn]:
        return self.leases.get(image, [])

    def is_pinned(self, image: Digest) -> bool:
        return image in self.pins

    def manifests_of(self, image: Digest) -> Sequence[BlobState]:
        age = list(self.blobs)
        return [self._state(one) for one in sorted(self.holdings[image], key=age.index)]

    def needs_of(self, blob: Digest) -> Sequence[BlobState]:
        return [self._state(child) for child in self.blobs[blob].children]

    def facts_of(self, image: Digest) -> ImageFacts:
        return self.facts[image]

    def _state(self, digest: Digest) -> BlobState:
        blob = self.blobs[digest]
        edges = sum(one.children.count(digest) for one in self.blobs.values())
        held = sum(digest in manifests for manifests in self.holdings.values())
        return BlobState(digest, blob.kind, blob.size, self.file_bytes.get(digest, 0), edges + held)

    def all_images(self, room: Mapping[str, int] | None = None) -> Sequence[ImageFacts]:
        def newest_first(facts: ImageFacts) -> tuple[float, Digest]:
            whole = float("-inf") if facts.created is None else facts.created // SECOND
            return (-whole, facts.id)

        found = [
            one._replace(labels=wanted_labels(one.labels, room)) for one in self.facts.values()
        ]
        return sorted(found, key=newest_first)

    def all_references(self) -> dict[Digest, list[Reference]]:
        names: dict[Digest, list[Reference]] = {}
        for name, (image, _) in self.names.items():
            names.setdefault(image, []).append(name)
        return names

    def all_referrers(self) -> set[Digest]:
        return {image for image in self.facts if self.subjects_of(image)}

    def all_parents(self) -> set[Digest]:
        return {facts.parent for facts in self.facts.values() if facts.parent is not None}
