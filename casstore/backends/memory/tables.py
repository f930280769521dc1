"""What a store in memory holds: dictionaries of values that are never changed in place.

A change works on a copy of the dictionaries, and a commit puts the copy in their place: so whoever
looks at the old one goes on seeing one moment.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.event import Event
from casstore.model.kept import LayerRecord, StoredImage
from casstore.model.reference import Reference
from casstore.model.trashed import KeptEntry
from casstore.startup.value import Value


class BlobRow(Value):
    """A blob, what it needs, and the layer that it is, if it is one."""

    size: int
    kind: str
    children: tuple[Digest, ...]
    layer: LayerRecord | None


class ImageRow(Value):
    """An image; its manifests in the order in which they came."""

    stored: StoredImage
    tops: tuple[Descriptor, ...]


class NameRow(Value):
    """What a reference points to."""

    image: Digest
    manifest: Digest
    tagged: int  # when somebody tagged it (ns); 0 for a name that came with its image


@dataclass
class Tables:
    """Everything. Dictionaries keep the order in which things came."""

    blobs: dict[Digest, BlobRow] = field(default_factory=dict)
    images: dict[Digest, ImageRow] = field(default_factory=dict)
    names: dict[Reference, NameRow] = field(default_factory=dict)
    subjects: dict[Digest, tuple[Digest, ...]] = field(default_factory=dict)  # of manifests
    leases: dict[str, tuple[Digest, int | None]] = field(default_factory=dict)
    pins: frozenset[Digest] = frozenset()
    meta: dict[str, str | int] = field(default_factory=dict)
    trash: dict[int, KeptEntry] = field(default_factory=dict)
    last_entry: int = 0  # no number of the trash is used again
    doomed: frozenset[Digest] = frozenset()
    events: tuple[tuple[int, Event], ...] = ()  # each with its number
    holders: Counter[Digest] = field(default_factory=Counter)  # edges and holdings, by blob

    def copy(self) -> Tables:
        """The same, to be changed."""
        copied: dict[str, Any] = {
            name: value.copy() for name, value in vars(self).items() if isinstance(value, dict)
        }
        return replace(self, **copied)
