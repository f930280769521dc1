"""An image tree all of whose blobs are staged or stored already, for `read_tree`."""

from __future__ import annotations

from casstore.model.treechecks import missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.ports.ingest import Intake


class StagedTree:
    """A `TreeReader` that looks nowhere but in the intake."""

    def __init__(self, intake: Intake, layers: Mapping[Digest, LayerRecord] | None = None) -> None:
        """`layers`: records, by blob digest, of layers staged just now."""
        self._intake = intake
        self._layers = layers or {}

    def document(self, descriptor: Descriptor) -> bytes | None:
        if self._intake.has(descriptor.digest) is None:
            return None
        return self._intake.read(descriptor.digest)

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        record = self._layers.get(descriptor.digest) or self._intake.layer(descriptor.digest)
        if record is None:
            raise missing(descriptor)
        return record

    def leaf(self, descriptor: Descriptor) -> None:
        if self._intake.has(descriptor.digest) != descriptor.size:
            raise missing(descriptor)
