"""Which image takes which bytes: one snapshot of the whole store, read once and held in memory.

df, tree and the report look at the same map, so that they cannot disagree. It is read in a
handful of statements, whatever the number of images: asking image by image costs a second for
each ten thousand blobs.

An *intermediate* image has no name and has children; listings leave it out, and it goes with the
last image built on it. What it takes is therefore counted with the images built on it, as dockerd
does: without that, each step of a build would make its own image look shared.
"""

from __future__ import annotations

from casstore.model.descriptor import INDEX, LAYER, MANIFEST
from casstore.rules.dangling import is_dangling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.state import BlobState
    from casstore.ports.backend import Backend
    from casstore.ports.view import View


class SpaceMap:
    """The store at one moment.

    Attributes:
        images: every image, newest first, without its labels.
        names: references by image, in attach order; an image without one is not in it.
        blobs: every blob, by digest.
        layers: what is known of each layer, by digest of the blob.
        leases: names of live leases by image, hard ones first; `hard` has these alone.
        pinned: images that somebody pinned.
        children: images by their recorded parent.
        trash: number of entries in the trash.
        referrers: artifacts with a subject, with the manifests that they are about.
        listed: the images that are not intermediate, newest first.
    """

    def __init__(self, disk: Backend, view: View, now: int) -> None:
        """Read the map; `now` (ns) decides which soft leases live.

        Within a snapshot of the caller, the map is of that snapshot.
        """
        with view.snapshot():
            self._read(view)
            soft = view.all_leases()
            self.trash = len(view.trash.ids())
        self.facts = {facts.id: facts for facts in self.images}
        self.hard: dict[Digest, list[str]] = {}
        for lease in disk.hard_leases():
            for image in lease.images:
                self.hard.setdefault(image, []).append(lease.name)
        self.leases = {image: list(names) for image, names in self.hard.items()}
        for name, image, expires in soft:
            if expires is None or expires > now:
                self.leases.setdefault(image, []).append(name)
        self.children: dict[Digest, list[Digest]] = {}
        for facts in self.images:
            if facts.parent is not None:
                self.children.setdefault(facts.parent, []).append(facts.id)
        self.listed = [facts for facts in self.images if not self.is_intermediate(facts.id)]
        self._estates: dict[Digest, frozenset[Digest]] = {}
        self._users: dict[Digest, int] | None = None

    def _read(self, view: View) -> None:
        self.images = view.all_images({})
        self.names = view.all_references()
        self.pinned = view.all_pins()
        self.referrers: dict[Digest, list[Digest]] = {}
        self._artifacts: dict[Digest, list[Digest]] = {}  # by subject
        for artifact in sorted(view.all_referrers()):
            self.referrers[artifact] = list(view.subjects_of(artifact))
            for subject in self.referrers[artifact]:
                self._artifacts.setdefault(subject, []).append(artifact)
        self.blobs: dict[Digest, BlobState] = {one.digest: one for one in view.all_blobs()}
        self.layers: dict[Digest, LayerRecord] = {one.digest: one for one in view.all_layers()}
        self._tops: dict[Digest, list[Digest]] = {}
        for image, top in view.all_tops():
            self._tops.setdefault(image, []).append(top.digest)
        self._needs: dict[Digest, list[Digest]] = {}
        for document, need in view.all_edges():
            self._needs.setdefault(document, []).append(need)

    def is_intermediate(self, image: Digest) -> bool:
        """Whether the image has no name, and children or a subject."""
        needed = image in self.children or image in self.referrers
        return needed and not self.names.get(image)

    def is_dangling(self, image: Digest) -> bool:
        """Whether prune would take the image, were it not held."""
        return is_dangling(
            image,
            self.names.get(image, ()),
            has_children=image in self.children,
            refers=self.referrers.__contains__,
        )

    def tree(self, image: Digest) -> set[Digest]:
        """Every blob that an image needs."""
        found: set[Digest] = set()
        todo = list(self._tops.get(image, ()))
        while todo:
            blob = todo.pop()
            if blob not in found:
                found.add(blob)
                todo += self._needs.get(blob, ())
        return found

    def estate(self, image: Digest) -> frozenset[Digest]:
        """Every blob that the image and the intermediate images below it need.

        And every blob of artifacts without a name whose subject is among them.
        """
        estate = self._estates.get(image)
        if estate is None:
            found = self.tree(image)
            for ancestor in self.ancestors(image):
                if not self.is_intermediate(ancestor):
                    break
                found |= self.tree(ancestor)
            self._add_artifacts(found)
            estate = self._estates[image] = frozenset(found)
        return estate

    def _add_artifacts(self, found: set[Digest]) -> None:
        ahead = list(found) if self._artifacts else []
        while ahead:
            for artifact in self._artifacts.get(ahead.pop(), ()):
                if self.is_intermediate(artifact):
                    new = self.tree(artifact) - found
                    found |= new
                    ahead += new

    def ancestors(self, image: Digest) -> Iterable[Digest]:
        """The recorded parent, its parent, and so on."""
        parent = self.facts[image].parent
        while parent is not None:
            yield parent
            parent = self.facts[parent].parent

    def users(self) -> dict[Digest, int]:
        """For each blob the number of listed images whose estate it is in."""
        if self._users is None:
            self._users = {}
            for facts in self.listed:
                for blob in self.estate(facts.id):
                    self._users[blob] = self._users.get(blob, 0) + 1
        return self._users

    def held(self) -> set[Digest]:
        """Images that prune leaves: those with a lease, and all that they are built on."""
        held = {image for image in self.leases if image in self.facts}
        for image in list(held):
            held.update(self.ancestors(image))
        return held

    def chain(self, image: Digest) -> tuple[Digest, ...]:
        """Layers, bottom first, repeats as they stand; none for an index, which has no one stack.

        Of several manifests of an image (its layers in several compressions) the first counts.
        """
        tops = self._tops.get(image)
        if not tops or self.blobs[tops[0]].kind != MANIFEST:
            return ()
        return tuple(
            need for need in self._needs.get(tops[0], ()) if self.blobs[need].kind == LAYER
        )

    def stack(self, image: Digest) -> list[Digest]:
        """The layers that make up an image's size, repeats as they stand.

        Of several manifests of an image the first counts; of an index all below it.
        """
        documents, layers = list(self._tops.get(image, ())[:1]), []
        for document in documents:
            for need in self._needs.get(document, ()):
                kind = self.blobs[need].kind
                if kind == LAYER:
                    layers.append(need)
                elif kind in (INDEX, MANIFEST) and need not in documents:
                    documents.append(need)
        return layers

    def is_index(self, image: Digest) -> bool:
        """Whether the image is an index: several platforms under one ID."""
        return any(self.blobs[top].kind == INDEX for top in self._tops.get(image, ()))

    def stored(self, blobs: Iterable[Digest]) -> int:
        """Bytes of blobs as stored."""
        return sum(self.blobs[blob].size for blob in blobs)

    def file_bytes(self, blobs: Iterable[Digest]) -> int:
        """Bytes of the files in those of the blobs that are layers."""
        return sum(self.blobs[blob].file_bytes for blob in blobs)
