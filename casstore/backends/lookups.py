"""Look-ups of an ingest that pin what they find: the same on every backend.

A backend says how one blob is pinned (`has`) and opened; from that follows what it takes for a
layer, and for an image with all that it needs, to stay available.
"""

from __future__ import annotations

from casstore.errors import Damaged
from casstore.model.descriptor import INDEX, LAYER, MANIFEST, OTHER
from casstore.model.digest import sha256
from casstore.model.state import SETTLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.state import BlobState
    from casstore.ports.view import View


class PinningLookups:
    """The part of `ports.ingest.Intake` that looks layers, documents and images up."""

    def __init__(
        self,
        view: Callable[[], View],
        has: Callable[[Digest], int | None],
        open_blob: Callable[[Digest], IO[bytes]],
    ) -> None:
        """Look-ups of one ingest, by two methods of its own.

        Args:
            view: gives the index as it is now.
            has: the size of a blob that is staged there or stored (and now pinned), else None.
            open_blob: opens such a blob; raises Damaged if it is gone.
        """
        self._view, self._has, self._open = view, has, open_blob
        self._layers: dict[Digest, LayerRecord] = {}  # by diff ID
        self._found: dict[Digest, LayerRecord] = {}  # pinned layers, by blob digest

    def read(self, digest: Digest) -> bytes:
        """A document, verified. Raises Damaged."""
        with self._open(digest) as file:
            data = file.read()
        if sha256(data) != digest:
            raise Damaged(f"blob {digest} is corrupt: its content has another digest")
        return data

    def layer(self, digest: Digest) -> LayerRecord | None:
        """The layer with this blob digest, pinned."""
        for record in self._layers.values():
            if record.digest == digest:
                return record
        if digest not in self._found:
            known = self._view().layer(digest)
            if known is None or self._has(digest) is None:
                return None
            self._found[digest] = known  # the index may forget it before we commit
        return self._found[digest]

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        """A layer with this diff ID, staged or pinned."""
        if diff_id not in self._layers:
            known = self._view().layer_with_diff_id(diff_id)
            if known is None or self._has(known.digest) is None:
                return None
            self._layers[diff_id] = known
        return self._layers[diff_id]

    def manifest_of(self, image_id: Digest) -> Descriptor | None:
        """A manifest of an image in the clear, pinned with all that it needs."""
        for top in self._view().tops_of(image_id):
            # Encrypted layers are kept as other blobs are: that form is nobody's who has the tars.
            # And of a layer that is a promise nobody knows that it is the tar.
            readable = all(
                need.kind != OTHER and need.state == SETTLED
                for need in self._view().needs_of(top.digest)
            )
            if readable and self._pin_tree(top.digest):
                return top
        return None

    def _pin_tree(self, digest: Digest) -> bool:
        """Pin a manifest or index and all below; False if an rmi was quicker with any of it."""
        needs = self._view().needs_of(digest)
        return bool(needs) and self._has(digest) is not None and all(map(self._pin_need, needs))

    def _pin_need(self, state: BlobState) -> bool:
        if state.kind == LAYER:
            return self.layer(state.digest) is not None
        if state.kind in (INDEX, MANIFEST):
            return self._pin_tree(state.digest)
        return self._has(state.digest) is not None

    def add_layer(self, record: LayerRecord) -> None:
        """Remember a layer just sealed, so that `layer_with_diff_id` finds it."""
        self._found[record.digest] = record
        if record.state == SETTLED:
            self._layers[record.diff_id] = record

    def layers(self) -> list[LayerRecord]:
        """Layers that are staged or were found, each of another diff ID."""
        return list(self._layers.values())


def asked_once(ask: Callable[[], bool] | None) -> Callable[[], bool]:
    """The same question, asked when it first counts; no, where there is none."""
    answers: list[bool] = []

    def answer() -> bool:
        if not answers:
            answers.append(ask is not None and ask())
        return answers[0]

    return answer
