"""The images of one load, all of which are in memory until they are committed together.

An archive may have ten thousand images of 512 layers each. Most of these are the same layers: what
says the same is kept once. Labels can differ in every image, so they have a limit in all.
"""

from __future__ import annotations

from casstore.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.model.digest import Digest
    from casstore.model.record import BlobRecord, ImageRecord

MAX_LABELS = 64 << 20  # bytes of all labels of all images of a load


class ImageBatch:
    """What a load keeps of its images."""

    def __init__(self) -> None:
        self._labels = 0
        self._digests: dict[Digest, Digest] = {}
        self._blobs: dict[BlobRecord, BlobRecord] = {}

    def digests(self, digests: Iterable[Digest]) -> tuple[Digest, ...]:
        """The same digests, each kept once."""
        kept = self._digests
        return tuple([kept.setdefault(one, one) for one in digests])

    def image(self, image: ImageRecord) -> ImageRecord:
        """The same image, to be kept.

        Raises:
            Refused: the labels of all images are too much.
        """
        self._labels += image.labels.size
        if self._labels > MAX_LABELS:
            raise Refused(f"the labels of all images exceed the limit of {MAX_LABELS} bytes")
        kept = self._blobs
        blobs = []
        for blob in image.blobs:
            if blob.children:
                digest, children = self._digests.setdefault(blob.digest, blob.digest), blob.children
                blobs.append(blob._replace(digest=digest, children=self.digests(children)))
            else:
                known = kept.setdefault(blob, blob)
                self._digests.setdefault(known.digest, known.digest)
                blobs.append(known)
        return image._replace(blobs=tuple(blobs))
