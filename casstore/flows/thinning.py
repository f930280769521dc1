"""save: what the other side has, and which layers are left out because of that.

The other side is told by images of this store that it has, too, by archives that it has loaded, or
by lists of digests. A format that keeps blobs byte for byte leaves out a layer whose blob is known
to be there; where only diff IDs are known, as from a docker archive, one with such a diff ID.
"""

from __future__ import annotations

import tempfile

from casstore.errors import Refused, quote
from casstore.flows.selection import readable_top
from casstore.model.digest import Digest
from casstore.model.document import MAX_DOCUMENT
from casstore.model.state import PROMISED, SETTLED
from casstore.rules.resolve import resolve
from casstore.startup.typed import cast
from casstore.startup.value import Value
from casstore.transfer.archive import open_archive
from casstore.transfer.formats import IMAGES
from casstore.transfer.membername import cannot_open
from casstore.transfer.saved import SavedImage
from casstore.transfer.savedtree import layers_under
from casstore.transfer.source import fitting
from casstore.transfer.thin import Base, LeftOut, Thin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from casstore.model.descriptor import Descriptor
    from casstore.model.kept import LayerRecord
    from casstore.ports.blobs import StoredBlobs
    from casstore.ports.view import View
    from casstore.transfer.formats import Format

_HEAD = 512  # bytes, in which every archive has one that is no text


class Source(Value):
    """A layer that deltas may be from."""

    record: LayerRecord
    base: int  # position of its image


class Held:
    """Layers that the other side has."""

    def __init__(self) -> None:
        self.bases: list[Base] = []
        self.sources: list[Source] = []
        self.notices: list[str] = []  # get a line for what is not done
        self.makes_deltas = False
        self._blobs: dict[Digest, int | None] = {}  # and the image that has it, if one is known
        self._diff_ids: dict[Digest, int | None] = {}
        self._in_any_form: set[Digest] = set()  # diff IDs of which no blob is known

    def add_image(
        self, view: View, blobs: StoredBlobs, argument: str, *, deltas: bool = False
    ) -> None:
        """The layers of an image of this store; with `deltas`, such may be made from them.

        Raises:
            NotFound: there is no such image.
        """
        self.makes_deltas |= deltas
        found = resolve(view, argument)
        top = view.top_named(found.name.reference) if found.name is not None else None
        image = SavedImage(found.image, top or readable_top(view, found.image), (), None)
        name = found.name.reference.familiar if found.name is not None else found.image
        self.bases.append(Base(name, found.image))
        for layer in layers_under([image], blobs):
            self._blobs.setdefault(layer.digest, len(self.bases) - 1)
            record = blobs.layer(layer.digest)
            if record is not None:
                self._diff_ids.setdefault(record.diff_id, len(self.bases) - 1)
                known = any(one.record.diff_id == record.diff_id for one in self.sources)
                if deltas and not known:
                    self.sources.append(Source(record, len(self.bases) - 1))

    def promised(self) -> list[LayerRecord]:
        """Layers that deltas may be from, which nobody has read."""
        return [one.record for one in self.sources if one.record.state == PROMISED]

    def settle(self, found: Mapping[Digest, LayerRecord]) -> None:
        """Take what was found out of layers, and no others that are only promised."""
        sources = [one._replace(record=found.get(one.record.digest, one.record))
                   for one in self.sources]  # fmt: skip
        self.sources = [one for one in sources if one.record.state == SETTLED]

    def add_file(self, path: str) -> None:
        """The layers of all images of an archive or layout, or those in a list of digests.

        Raises:
            NotFound, StorageError: it cannot be read.
            Refused: it is neither.
        """
        digests = _listed_in(path)
        if digests is not None:
            for digest in digests:
                self._blobs.setdefault(digest, None)
                self._diff_ids.setdefault(digest, None)
            self._in_any_form.update(digests)
            return
        with open_archive(path, _Scratch()) as archive:
            forms = fitting(archive)
            if not forms:
                raise Refused(
                    f"{quote(path)} is neither an archive of images nor a list of digests"
                )
            layers = forms[0].reader().layers(archive)
        self._blobs.update((digest, None) for digest in layers.digests - self._blobs.keys())
        self._diff_ids.update((one, None) for one in layers.diff_ids - self._diff_ids.keys())
        if not layers.digests:
            self._in_any_form.update(layers.diff_ids)

    def left_out(
        self, saved: Sequence[SavedImage], blobs: StoredBlobs, form: Format
    ) -> Thin | None:
        """What an archive of these images leaves out; None where that is nothing.

        Raises:
            Damaged: a document is missing or is not its digest.
        """
        found: dict[Digest, LeftOut] = {}
        for layer in layers_under(saved, blobs):
            one = self._plain(layer, blobs) if form.holds == IMAGES else self._blob(layer, blobs)
            if one is not None:
                found.setdefault(one.told, one)
        return Thin(tuple(found.values()), tuple(self.bases)) if found else None

    def _plain(self, layer: Descriptor, blobs: StoredBlobs) -> LeftOut | None:
        record = blobs.layer(layer.digest)
        if record is None:
            return None
        if record.diff_id in self._diff_ids:
            base = self._diff_ids[record.diff_id]
        elif record.digest in self._blobs:
            base = self._blobs[record.digest]
        else:
            return None
        return LeftOut(record.diff_size, record.diff_id, None, "", base)

    def _blob(self, layer: Descriptor, blobs: StoredBlobs) -> LeftOut | None:
        record = blobs.layer(layer.digest)
        diff_id = record.diff_id if record is not None else None
        if layer.digest in self._blobs:
            base = self._blobs[layer.digest]
        elif diff_id in self._in_any_form:
            base = None
        else:
            return None
        return LeftOut(layer.size, diff_id, layer.digest, layer.media_type, base)


def _listed_in(path: str) -> list[Digest] | None:
    """The digests in a file that is a list of them, one a line; None where it is not one."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD) if file.seekable() else b""
            if not head or not head.isascii() or b"\0" in head:
                return None
            data = head + file.read(MAX_DOCUMENT + 1 - len(head))
    except IsADirectoryError:
        return None
    except OSError as error:
        raise cannot_open(path, error) from None
    if len(data) > MAX_DOCUMENT:
        raise Refused(f"{quote(path)} exceeds the limit of {MAX_DOCUMENT} bytes")
    lines = [line.split("#")[0].strip() for line in data.decode("utf-8", "replace").splitlines()]
    try:
        return [Digest.parse(line) for line in lines if line]
    except Refused as error:
        raise Refused(f"{quote(path)} is a list of digests, but has an {error}") from None


class _Scratch:
    """Where an archive that is compressed is written down plain; it need not be in a store."""

    max_layer_size: int | None = None

    def scratch(self) -> IO[bytes]:
        return cast("IO[bytes]", tempfile.TemporaryFile())
