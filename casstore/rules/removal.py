"""What a removal untags and deletes, or the conflict that forbids it: rmi's and every other.

Pure: reads a view, returns a plan. The caller holds the lock, so the plan stays true until it is
applied. Source: dockerd's image deletion (the algorithm has not changed from 1.13 to 20.10), as
recorded in fixtures/transcripts; the texts are those of Docker's rmi reference page.

An artifact with a subject goes with its subject: a signature, an SBOM, an attestation. Its manifest
names the image in `subject` (OCI 1.1), or its tag does (`sha256-<hex>.sig` as cosign has it, or
`sha256-<hex>`); the index notes both when the artifact is admitted or named (`referrers_of`). When
a removal frees a manifest or an index, each artifact that refers to it goes too, with all its names
and in turn with what refers to it, unless something else in the store is its subject as well, it
has a name of its own (one that is not of that form; a digest in a repository where it has such a
tag does not count), images are built on it, or a lease holds it. Nothing else would ever remove it:
it has no name that anybody types.
"""

from __future__ import annotations

from casstore.errors import Conflict
from casstore.model.descriptor import INDEX, LAYER, MANIFEST
from casstore.model.reference import subject_of
from casstore.model.removal import DELETED, UNTAGGED, RemovalPlan, Removed
from casstore.rules.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from casstore.model.digest import Digest
    from casstore.model.reference import Name, Reference
    from casstore.model.state import BlobState
    from casstore.ports.view import StoreView


def plan_removal(
    view: StoreView, argument: str, *, force: bool = False, prune: bool = True
) -> RemovalPlan:
    """Plan `rmi ARGUMENT`.

    Args:
        view: the store; the lock is held.
        argument: as typed: a name, an ID, or a prefix of one.
        force: `-f`: remove every reference of an image named by ID, and soft leases.
        prune: False for `--no-prune`: untagged parents stay.

    Raises:
        InvalidReference, NotFound: as `resolve`.
        Conflict: forbidden (children, a hard lease), or only with `force`.
    """
    found = resolve(view, argument)
    removal = _Removal(view, argument, force=force, prune=prune)
    if found.by_id or found.name is None:
        removal.by_id(found.image)
    else:
        removal.by_name(found.image, found.name)
    return removal.plan()


def plan_deletion(
    view: StoreView, image: Digest, *, spare: Callable[[Digest], bool]
) -> RemovalPlan:
    """Plan that an image goes with all its names, because a policy chose it; nothing is forced.

    Args:
        view: the store, or what earlier plans left of it.
        image: its ID.
        spare: ancestors that do not go along with their last child, though nothing needs them.

    Raises:
        Conflict: it has children, a lease or a pin.
    """
    removal = _Removal(view, image.short, force=False, prune=True, spare=spare)
    removal.by_id(image, whole=True)
    return removal.plan()


def plan_unnamed(view: StoreView, image: Digest, manifest: Digest) -> RemovalPlan:
    """Plan what a change takes away because it gave a manifest's last name to another.

    The manifest goes if the image lives on under another name, which names another manifest: as
    with an `rmi` of that name. An image that has no name at all keeps what it holds.

    Args:
        view: the store as the change leaves it, with all names where they belong in the end.
        image: an image that a name has left; it may have gone meanwhile.
        manifest: what that name named.
    """
    removal = _Removal(view, image.short, force=False, prune=False)
    names = view.naming_of(image)
    if len(names) and not names.has_named(manifest):
        removal.give_up(image, [manifest])
    return removal.plan()


def names_of_its_own(names: Sequence[Reference]) -> list[Reference]:
    """The names of an artifact that say more than what it refers to."""
    scheme = {name.repository for name in names if subject_of(name) is not None}
    return [
        name
        for name in names
        if subject_of(name) is None and (name.tag is not None or name.repository not in scheme)
    ]


class _Removal:
    """One removal as it is thought through; it keeps its own account of what has gone."""

    def __init__(
        self,
        view: StoreView,
        argument: str,
        *,
        force: bool,
        prune: bool,
        spare: Callable[[Digest], bool] | None = None,
    ) -> None:
        self._spare = spare
        self._view = view
        self._argument = argument
        self._force = force
        self._prune = prune
        # Dictionaries for their order: with thousands of artifacts, each is looked for in them.
        self._untag: dict[Reference, None] = {}
        self._detach: dict[tuple[Digest, Digest], None] = {}
        self._delete: dict[Digest, None] = {}
        self._free: dict[Digest, None] = {}
        self._lines: list[Removed] = []
        self._kept: list[tuple[Digest, Digest]] = []
        self._counts: dict[Digest, int] = {}
        self._freed = 0
        self._built_on: set[Digest] = set()  # artifacts that stay for their children alone

    def plan(self) -> RemovalPlan:
        return RemovalPlan(
            tuple(self._untag), tuple(self._detach), tuple(self._delete), tuple(self._free),
            tuple(self._lines), self._freed, tuple(self._kept),
        )  # fmt: skip

    def by_name(self, image: Digest, name: Name) -> None:
        names = self._view.naming_of(image)
        if not self._force and names.is_single():
            self._refuse_held_last_name(image)
        target = name.reference
        self._untagged(target, name.familiar)
        for sibling in names.going_with(target):
            self._untagged(sibling, sibling.familiar)
        if len(names) > len(self._untag):
            self.give_up(image, names.without(self._untag))
        else:
            self._delete_image(image, quiet=True, names=())

    def by_id(self, image: Digest, *, whole: bool = False) -> None:
        """Remove an image; with `whole`, all its names too, in however many repositories."""
        naming = self._view.naming_of(image)
        names = list(naming)
        if whole or naming.is_single():
            for name in names:
                self._untagged(name, name.familiar)
            names = []
        self._delete_image(image, quiet=False, names=names)

    def _delete_image(self, image: Digest, *, quiet: bool, names: Sequence[Reference]) -> None:
        conflict = self._conflict(image, names=names, force=self._force)
        if conflict is not None:
            if quiet:
                return
            raise conflict
        for name in names:
            self._untagged(name, name.familiar)
        self._drop(image)
        parent = self._view.parent_of(image)
        while self._prune and parent is not None and self._is_unneeded(parent):
            image = parent
            self._drop(image)
            parent = self._view.parent_of(image)

    def _is_unneeded(self, image: Digest) -> bool:
        """Whether an ancestor goes with its last child: never forced, so any lease keeps it."""
        if self._spare is not None and self._spare(image):
            return False
        if image in self._delete:  # it went as an artifact of what it is the parent of
            return False
        names = [one.name for one in self._view.references_of(image)]
        return self._conflict(image, names=names, force=False) is None

    def _conflict(
        self, image: Digest, *, names: Sequence[Reference], force: bool
    ) -> Conflict | None:
        """The first reason not to delete an image: children, hard lease, names, pin, soft lease."""
        if self._has_children(image):
            return self._refusal(image, "it has dependent child images", "children", force=False)
        leases = self._view.leases_on(image)
        if leases and leases[0].hard:
            name = leases[0].name
            said = f"it is held by hard lease {name}"
            return self._refusal(image, said, "lease", name, force=False)
        if force:
            return None
        if names:
            return self._refusal(image, "it is tagged in multiple repositories", "names")
        if self._view.is_pinned(image):
            return self._refusal(image, "it is pinned", "pin")
        if leases:
            name = leases[0].name
            return self._refusal(image, f"it is held by soft lease {name}", "lease", name)
        return None

    def _refuse_held_last_name(self, image: Digest) -> None:
        if self._view.is_pinned(image):
            raise self._refusal(image, "it is pinned", "last name")
        for lease in self._view.leases_on(image):
            kind = "hard" if lease.hard else "soft"
            said = f"its last reference is held by {kind} lease {lease.name}"
            raise self._refusal(image, said, "last name", lease.name)

    def _refusal(
        self, image: Digest, why: str, cause: str, lease: str = "", *, force: bool = True
    ) -> Conflict:
        """The conflict; `force`: whether -f would overcome it."""
        advice = ", use -f to force" if force else ""
        return Conflict(
            f"cannot delete image {self._argument} because {why}{advice}",
            forceable=force, cause=cause, argument=self._argument, image=image, lease=lease,
        )  # fmt: skip

    def _untagged(self, name: Reference, text: str) -> None:
        self._untag[name] = None
        self._lines.append(Removed(UNTAGGED, text, None, "reference", 0, 0))

    def give_up(self, image: Digest, manifests: Sequence[Digest]) -> None:
        """Manifests go with their last name while the image lives on under another manifest."""
        for state in self._view.manifests_of(image) if manifests else ():
            if state.digest in manifests:
                self._detach[image, state.digest] = None
                freed = self._release([state])
                self._report_layers(image, freed)
                self._drop_referrers(freed)

    def _drop(self, image: Digest) -> None:
        self._delete[image] = None
        held = self._view.manifests_of(image)
        freed = self._release([one for one in held if (image, one.digest) not in self._detach])
        documents = sum(state.size for state in freed if state.kind != LAYER)
        self._lines.append(Removed(DELETED, image.hex, image, "image", documents, 0))
        self._report_layers(image, freed)
        self._drop_referrers(freed)
        if self._built_on:
            parent = self._view.parent_of(image)
            if parent in self._built_on:
                self._drop_if_lost(parent)

    def _drop_referrers(self, freed: Iterable[BlobState]) -> None:
        """Delete the artifacts that refer to freed manifests and to nothing that is left."""
        for state in freed:
            if state.kind in (MANIFEST, INDEX):
                for artifact in self._view.referrers_of(state.digest):
                    self._drop_if_lost(artifact)

    def _drop_if_lost(self, artifact: Digest) -> None:
        """Delete an artifact if its subjects are gone and nothing else holds it."""
        if artifact in self._delete:
            return
        if any(subject not in self._free for subject in self._view.subjects_of(artifact)):
            return
        names = [one.name for one in self._view.references_of(artifact)]
        names = [name for name in names if name not in self._untag]  # with which it all began
        if names_of_its_own(names):
            return
        if self._has_children(artifact):
            self._built_on.add(artifact)  # they may go later in this removal
        elif self._conflict(artifact, names=(), force=False) is None:
            for name in names:
                self._untagged(name, name.familiar)
            self._drop(artifact)

    def _has_children(self, image: Digest) -> bool:
        return any(child not in self._delete for child in self._view.children_of(image))

    def _report_layers(self, image: Digest, freed: Iterable[BlobState]) -> None:
        for state in freed:
            if state.kind == LAYER:
                self._lines.append(
                    Removed(DELETED, state.digest.hex, state.digest, "layer",
                            state.size, state.file_bytes)
                )  # fmt: skip

    def _release(self, holders: Sequence[BlobState]) -> list[BlobState]:
        """Take one holder from each blob; see `release`."""
        outliving: list[BlobState] = []
        freed = release(self._view, holders, self._counts, outliving)
        if self._delete:
            image = next(reversed(self._delete))
            self._kept += ((image, state.digest) for state in outliving if state.kind == LAYER)
        self._free.update((state.digest, None) for state in freed)
        self._freed += sum(state.size for state in freed)
        return freed


def release(
    view: StoreView,
    holders: Sequence[BlobState],
    counts: dict[Digest, int],
    outliving: list[BlobState],
) -> list[BlobState]:
    """Take one holder from each blob, and from all below a blob that loses its last.

    Args:
        view: the store.
        holders: a blob for each holder that goes.
        counts: holders left by blob, where they are not those of the store any more; updated.
        outliving: gets the blobs that something else still needs.

    Returns:
        The freed blobs: documents first, then what they needed, top-most layer first, each once
        at its top-most place.
    """
    freed: list[BlobState] = []
    for state in dict.fromkeys(holders):
        counts[state.digest] = counts.get(state.digest, state.refcount) - holders.count(state)
        if counts[state.digest] > 0:
            outliving.append(state)
            continue
        freed.append(state)
        if state.kind != LAYER:
            needs = list(reversed(view.needs_of(state.digest)))
            freed += release(view, needs, counts, outliving)
    return freed


def without_freeing(plan: RemovalPlan) -> RemovalPlan:
    """The same removal where the trash keeps every blob: the lines of layers are not true then."""
    lines = (
        Removed(line.kind, line.text, line.digest, line.role, 0, 0)
        for line in plan.lines
        if line.role != "layer"
    )
    return RemovalPlan(plan.untag, plan.detach, plan.delete, (), tuple(lines), 0, ())
