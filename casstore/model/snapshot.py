"""A whole store in memory, for a rule that looks at every image and plans many removals in turn.

It answers as any `StoreView` does, so the removal that is planned on it is the one that would be
planned on the store; `apply` takes a plan's effects into account at the cost of what the plan
touches. So thousands of removals, each on what the last one left, cost one reading of the tables.
"""

from __future__ import annotations

from casstore.model.kept import ImageFacts
from casstore.model.state import Attached, BlobState, LeaseOn, Naming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.model.removal import RemovalPlan


class Snapshot:
    """The store at one moment, and what planned removals would make of it."""

    def __init__(
        self,
        *,
        facts: Iterable[ImageFacts],
        names: Mapping[Digest, list[Attached]],
        leases: Mapping[Digest, list[LeaseOn]],
        pinned: Collection[Digest],
        holdings: Mapping[Digest, list[Digest]],
        blobs: Mapping[Digest, BlobState],
        edges: Mapping[Digest, list[Digest]],
        subjects: Mapping[Digest, list[Digest]],
    ) -> None:
        """Take what the tables say.

        Args:
            facts: every image.
            names: references by image, in attach order.
            leases: live leases by image, hard ones first.
            pinned: images that somebody pinned.
            holdings: manifests (or indexes) by the image that holds them.
            blobs: every blob that the index knows.
            edges: what each document needs, in document order.
            subjects: what manifests refer to, which need not be in the store.
        """
        self.facts = {one.id: one for one in facts}
        self._names = {image: list(attached) for image, attached in names.items()}
        self._leases = leases
        self._pinned = frozenset(pinned)
        self._holdings = {image: list(held) for image, held in holdings.items()}
        self._blobs = dict(blobs)
        self._edges = dict(edges)
        self._counts = {digest: state.refcount for digest, state in blobs.items()}
        self._children: dict[Digest, dict[Digest, None]] = {}
        for one in self.facts.values():
            if one.parent is not None:
                self._children.setdefault(one.parent, {})[one.id] = None
        self._subjects = dict(subjects)
        self._referrers: dict[Digest, dict[Digest, None]] = {}  # images, by what they refer to
        if subjects:
            for image, held in self._holdings.items():
                for subject in self._subjects_held(held):
                    self._referrers.setdefault(subject, {})[image] = None
        self._named = {one.name: image for image, all_ in self._names.items() for one in all_}
        self.stored = sum(state.size for state in self._blobs.values())  # bytes of all blobs

    # The view

    def image_named(self, name: Reference) -> Digest | None:
        return self._named.get(name)

    def has_image(self, image: Digest) -> bool:
        return image in self.facts

    def images_with_prefix(self, prefix: str) -> Sequence[Digest]:
        return sorted(image for image in self.facts if image.hex.startswith(prefix))[:2]

    def references_of(self, image: Digest) -> Sequence[Attached]:
        return self._names.get(image, ())

    def naming_of(self, image: Digest) -> Naming:
        return Naming(self._names.get(image, ()))

    def parent_of(self, image: Digest) -> Digest | None:
        return self.facts[image].parent if image in self.facts else None

    def children_of(self, image: Digest) -> Iterable[Digest]:
        return self._children.get(image, ())

    def referrers_of(self, manifest: Digest) -> Sequence[Digest]:
        found = self._referrers.get(manifest, ())
        return [image for image in found if manifest in self._subjects_of(image)]

    def subjects_of(self, image: Digest) -> Sequence[Digest]:
        return [blob for blob in self._subjects_of(image) if blob in self._blobs]

    def _subjects_of(self, image: Digest) -> dict[Digest, None]:
        return self._subjects_held(self._holdings.get(image, ())) if self._subjects else {}

    def _subjects_held(self, manifests: Iterable[Digest]) -> dict[Digest, None]:
        return {one: None for held in manifests for one in self._subjects.get(held, ())}

    def leases_on(self, image: Digest) -> Sequence[LeaseOn]:
        return self._leases.get(image, ())

    def is_pinned(self, image: Digest) -> bool:
        return image in self._pinned

    def manifests_of(self, image: Digest) -> Sequence[BlobState]:
        return [self._state(one) for one in self._holdings.get(image, ())]

    def needs_of(self, blob: Digest) -> Sequence[BlobState]:
        return [self._state(child) for child in self._edges.get(blob, ())]

    def facts_of(self, image: Digest) -> ImageFacts:
        return self.facts[image]

    def _state(self, digest: Digest) -> BlobState:
        digest, kind, size, file_bytes, _, state = self._blobs[digest]
        return BlobState(digest, kind, size, file_bytes, self._counts[digest], state)

    # What it holds

    @property
    def blobs(self) -> int:
        """How many blobs there are."""
        return len(self._blobs)

    @property
    def references(self) -> int:
        """How many references there are."""
        return len(self._named)

    def names_of(self, image: Digest) -> tuple[Reference, ...]:
        """References of an image, in attach order."""
        return tuple(one.name for one in self._names.get(image, ()))

    # The changes

    def apply(self, plan: RemovalPlan) -> None:
        """Go on from what `plan` leaves."""
        going = set(plan.untag)
        for image in {self._named.pop(name) for name in going}:
            self._names[image] = [one for one in self._names[image] if one.name not in going]
        for image, manifest in plan.detach:
            self._holdings[image].remove(manifest)
            self._counts[manifest] -= 1
        for image in plan.delete:
            for manifest in self._holdings.pop(image):
                self._counts[manifest] -= 1
            parent = self.facts.pop(image).parent
            if parent is not None:
                del self._children[parent][image]
        for blob in plan.free:
            for child in self._edges.pop(blob, ()):
                self._counts[child] -= 1
            self.stored -= self._blobs.pop(blob).size
            del self._counts[blob]
