"""The intake that sources are tried on: blobs in memory, and what became of each call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.transfer.memoryintake import MemoryIntake

if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.record import Arrival


class FakeIntake(MemoryIntake):
    """A store that several loads can go through, one after the other."""

    def __init__(self, *, links: bool = False) -> None:
        super().__init__()
        self.links = links
        self.adopted: list[Digest] = []
        self.opened: list[Digest] = []
        self._manifests: dict[Digest, Descriptor] = {}

    def manifest_of(self, image_id: Digest) -> Descriptor | None:
        return self._manifests.get(image_id)

    def adopt(self, path: str, digest: Digest, size: int) -> bool:
        if not self.links:
            return False
        assert os.path.getsize(path) == size
        with open(path, "rb") as file:
            self.blobs[digest] = file.read()
        self.adopted.append(digest)
        return True

    def commit(self, arrivals: list[Arrival]) -> None:
        """Remember the images, as a store would from now on."""
        for arrival in arrivals:
            self._manifests.setdefault(arrival.image.id, arrival.image.top)
            for layer in arrival.image.layers:
                self.layers[layer.digest] = layer
